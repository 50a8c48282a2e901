/** Checks of the pods that carry a proxy. */
import { createHash } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import { annotation, container, TRUST_ROOTS } from "../../model/names.ts";
import { asksForProxy, meshedPods } from "../meshed.ts";
import { type Pod, podTroubles } from "../pods.ts";
import { type CheckCategory, type CheckContext, type Finding, failure, skipped, success, warning } from "./check.ts";
import { alteredCopies } from "./control-plane.ts";

/** Names shown before the rest is counted. */
const SHOWN = 5;

export const dataPlane: CheckCategory = {
  name: "weft-data-plane",
  checks: [
    {
      description: "data plane namespace exists",
      async run({ client, dataPlaneNamespace }) {
        if (dataPlaneNamespace === undefined) return success;
        const found = await client.find(resource.namespaces, dataPlaneNamespace);
        return found === undefined
          ? failure(`there is no namespace ${dataPlaneNamespace}`, "kubectl get namespaces")
          : success;
      },
    },
    {
      description: "data plane proxies are ready",
      async run(context) {
        const pods = await podsOf(context);
        if (pods.length === 0) return skipped("no pod carries a proxy yet: weft inject, or weft demo up");
        const unready = pods.filter((pod) => isRunning(pod) && !proxyReady(pod));
        if (unready.length === 0) return success;
        const why = unready.flatMap(podTroubles)[0]?.message;
        return failure(
          `not ready: ${names(unready)}${why === undefined ? "" : `; ${why}`}`,
          "kubectl logs POD -c linkerd-proxy says why.",
        );
      },
    },
    {
      description: "data plane is up-to-date",
      async run(context) {
        const wanted = context.config?.version;
        const pods = await podsOf(context);
        const old = pods.filter(({ metadata }) => metadata.annotations?.[annotation.proxyVersion] !== wanted);
        if (wanted === undefined || old.length === 0) return success;
        return warning(
          `another proxy than ${wanted} runs in ${names(old)}`,
          "A restart brings the new one: weft inject, or kubectl rollout restart.",
        );
      },
    },
    {
      description: "data plane proxies certificate match CA",
      async run(context) {
        const { client, namespace } = context;
        const roots = await client.find<KubeObject & { data?: Record<string, string> }>(
          resource.configMaps,
          TRUST_ROOTS.configMap,
          namespace,
        );
        const pem = roots?.data?.[TRUST_ROOTS.key];
        if (pem === undefined) return failure(`ConfigMap ${TRUST_ROOTS.configMap} is missing`);
        const digest = createHash("sha256").update(pem).digest("hex");
        const other = (await podsOf(context)).filter(({ metadata }) => {
          const own = metadata.annotations?.[annotation.trustRootSha256];
          return own !== undefined && own !== digest;
        });
        return other.length === 0
          ? success
          : warning(
              `other trust anchors at the start of ${names(other)}`,
              "Proxies read the mounted bundle again; a restart makes sure.",
            );
      },
    },
    {
      description: "bundles in meshed namespaces are unaltered",
      async run({ client, config }) {
        if (config === undefined) return skipped("the installed bundle is unknown");
        const [altered] = await alteredCopies(client, config);
        if (altered === undefined) return success;
        return failure(
          altered,
          "Delete that ConfigMap: the next pod gets a good one. Then find out who could write it.",
        );
      },
    },
    {
      description: "all pods of injected namespaces carry a proxy",
      async run(context) {
        return await unmeshedPods(context);
      },
    },
  ],
};

async function unmeshedPods({ client, dataPlaneNamespace }: CheckContext): Promise<Finding> {
  const { items: namespaces } = await client.list(resource.namespaces);
  const injected = namespaces
    .filter(({ metadata }) => asksForProxy(metadata.annotations))
    .map(({ metadata }) => metadata.name)
    .filter((name) => dataPlaneNamespace === undefined || name === dataPlaneNamespace);
  const lists = await Promise.all(injected.map((namespace) => client.list<Pod>(resource.pods, { namespace })));
  const without = lists
    .flatMap(({ items }) => items)
    .filter((pod) => isRunning(pod) && pod.metadata.annotations?.[annotation.inject] !== "disabled")
    .filter(
      ({ spec }) => ![...(spec.initContainers ?? []), ...spec.containers].some(({ name }) => name === container.proxy),
    );
  if (without.length === 0) return success;
  return warning(
    `without a proxy: ${names(without)}`,
    "weft inject ns NAMESPACE restarts what can have one, and names what cannot.",
  );
}

async function podsOf({ client, namespace, dataPlaneNamespace }: CheckContext): Promise<Pod[]> {
  return await meshedPods(client, namespace, dataPlaneNamespace);
}

function isRunning({ status, metadata }: Pod): boolean {
  const ended = status?.phase === "Succeeded" || status?.phase === "Failed";
  return !ended && metadata.deletionTimestamp === undefined;
}

function proxyReady({ status }: Pod): boolean {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return all.some(({ name, ready }) => name === container.proxy && ready);
}

function names(pods: readonly Pod[]): string {
  const shown = pods.slice(0, SHOWN).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  return pods.length > SHOWN ? `${shown.join(", ")} and ${pods.length - SHOWN} more` : shown.join(", ");
}
