/** Asks the injector's webhook by a pod that is never made: a dry run goes the whole way through admission. */
import { setTimeout as sleep } from "node:timers/promises";
import { hasStatus, KubeError } from "../kube/errors.ts";
import { resource } from "../kube/resources.ts";
import type { KubeClient } from "../kube/types.ts";
import { annotation, container } from "../model/names.ts";
import { MeshError } from "./errors.ts";
import type { Pod, PodSpec } from "./pods.ts";
import type { Patience } from "./rollout.ts";

const POLL_MS = 1_000;

export interface ProbeTemplate {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

export type ProbeResult =
  | { readonly kind: "injected" }
  /** Admitted, but without a proxy: the webhook was not asked, or left the pod alone. */
  | { readonly kind: "untouched" }
  /** The API server or an admission rule turned the pod down. */
  | { readonly kind: "refused"; readonly error: KubeError };

/** A pod that any cluster's default namespace takes. */
const PLAIN: ProbeTemplate = { spec: { containers: [{ name: "probe", image: "weft.invalid/probe" }] } };

/** @param template the pod to try, e.g. a workload's own; by default a plain one */
export async function probeWebhook(
  client: KubeClient,
  namespace: string,
  template: ProbeTemplate = PLAIN,
): Promise<ProbeResult> {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `weft-probe-${Date.now().toString(36)}`,
      namespace,
      labels: { ...template.labels },
      annotations: { ...template.annotations, [annotation.inject]: "enabled" },
    },
    spec: template.spec,
  };
  try {
    const admitted = await client.create(resource.pods, pod, { dryRun: true });
    return { kind: hasProxy(admitted.spec) ? "injected" : "untouched" };
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (hasStatus(error, 403) && error.message.includes('cannot create resource "pods"')) {
      throw new MeshError(
        `whether the webhook answers is tried by a pod that is never made, and you may not create pods in namespace ${namespace}`,
        "Ask an administrator for create on pods, or choose a context with more rights.",
        { cause: error },
      );
    }
    // Pod Security sees the pod after the webhook: a complaint about the proxy's containers is an answer too.
    if (hasStatus(error, 403) && error.message.includes(container.init)) return { kind: "injected" };
    return { kind: "refused", error };
  }
}

export function hasProxy(spec: PodSpec): boolean {
  return [...(spec.initContainers ?? []), ...spec.containers].some(({ name }) => name === container.proxy);
}

/** @throws MeshError where it does not answer by the deadline, or dry-run pods are refused */
export async function waitForWebhook(
  client: KubeClient,
  namespace: string,
  patience: Patience,
  waiting: (detail: string) => void,
  template?: ProbeTemplate,
): Promise<void> {
  for (;;) {
    patience.signal?.throwIfAborted();
    const result = await probeWebhook(client, namespace, template);
    if (result.kind === "injected") return;
    if (result.kind === "refused" && !isPassing(result.error)) {
      throw new MeshError(
        `a pod for trial is refused in namespace ${namespace}: ${result.error.message}`,
        "The pods of this namespace would meet the same refusal once they are meshed.",
        { cause: result.error },
      );
    }
    const why = result.kind === "refused" ? result.error.message : "a pod for trial came back without a proxy";
    waiting(why);
    if (performance.now() > patience.deadline) {
      throw new MeshError(
        `the injector's webhook does not answer: ${why}`,
        "The API server must reach port 10250 of the control plane's pods; weft check says more.",
      );
    }
    await sleep(POLL_MS, undefined, patience.signal === undefined ? {} : { signal: patience.signal });
  }
}

/** Refusals that end by themselves: a service account still to be made, an API server that is busy. */
function isPassing(error: KubeError): boolean {
  return hasStatus(error, 429, 500, 503, 504) || /error looking up service account/.test(error.message);
}
