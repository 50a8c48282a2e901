/** Checks of the control plane's objects and pods. */
import { createHash } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import { CONTROLLER_SERVICE_ACCOUNT } from "../../model/identity.ts";
import { MESH_CONFIG, type MeshConfig } from "../../model/mesh-config.ts";
import { label, proxyBundleName, WEFT } from "../../model/names.ts";
import { CONTROLLER_DEPLOYMENT, controllerSelector } from "../control-plane-deployment.ts";
import { readMeshConfig } from "../detect.ts";
import { isPodReady, lastWords, type Pod, type PodTrouble, podTroubles } from "../pods.ts";
import { rolloutState, selectorText, type Workload } from "../rollout.ts";
import { WEFT_VERSION } from "../version.ts";
import { type CheckCategory, type CheckContext, failure, success, warning } from "./check.ts";

const AGAIN = "weft install puts back what is missing.";

interface BundleConfigMap extends KubeObject {
  readonly binaryData?: Readonly<Record<string, string>>;
}

export const existence: CheckCategory = {
  name: "weft-existence",
  checks: [
    {
      description: "control plane Namespace exists",
      fatal: true,
      async run({ client, namespace }) {
        const found = await client.find(resource.namespaces, namespace);
        if (found === undefined)
          return failure(`there is no namespace ${namespace}: Weft is not installed`, "weft install");
        if (found.metadata.deletionTimestamp === undefined) return success;
        return failure(`namespace ${namespace} is being deleted`, "weft uninstall names what keeps it.");
      },
    },
    {
      description: `'${MESH_CONFIG.configMap}' config map exists`,
      async run(context) {
        context.config = await readMeshConfig(context.client, context.namespace);
        return context.config === undefined ? failure(`ConfigMap ${MESH_CONFIG.configMap} is missing`, AGAIN) : success;
      },
    },
    {
      description: "control plane ServiceAccount, roles and bindings exist",
      async run({ client, namespace }) {
        const name = CONTROLLER_SERVICE_ACCOUNT;
        const found = await Promise.all([
          client.find(resource.serviceAccounts, name, namespace),
          client.find(resource.clusterRoles, name),
          client.find(resource.clusterRoleBindings, name),
          client.find(resource.roles, name, namespace),
          client.find(resource.roleBindings, name, namespace),
        ]);
        const kinds = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
        const missing = kinds.filter((_, index) => found[index] === undefined);
        return missing.length === 0 ? success : failure(`missing: ${missing.join(", ")} ${name}`, AGAIN);
      },
    },
    {
      description: "images of the control plane are pulled",
      async run(context) {
        const trouble = await findTrouble(context, "image");
        if (trouble === undefined) return success;
        return failure(
          trouble.message,
          "Check the name and that the nodes reach its registry; another one is set by weft install --node-image.",
        );
      },
    },
    {
      description: "control plane pods are ready",
      async run(context) {
        const { client, namespace } = context;
        const deployment = await client.find<Workload>(resource.deployments, CONTROLLER_DEPLOYMENT, namespace);
        if (deployment === undefined) return failure(`Deployment ${CONTROLLER_DEPLOYMENT} is missing`, AGAIN);
        const { done, text } = rolloutState("Deployment", deployment);
        const trouble = await findTrouble(context);
        if (done) return success;
        if (trouble === undefined)
          return failure(text, `kubectl -n ${namespace} describe deployment ${CONTROLLER_DEPLOYMENT}`);
        const words = await lastWords(client, namespace, trouble);
        return failure(
          `${text}; ${trouble.message}${words === "" ? "" : `:\n${words}`}`,
          `kubectl -n ${namespace} describe pod ${trouble.pod}`,
        );
      },
    },
    {
      description: "proxy bundle is present and unaltered",
      async run({ client, namespace, config }) {
        if (config === undefined) return failure(`unknown without ConfigMap ${MESH_CONFIG.configMap}`, AGAIN);
        const problem = await bundleProblem(client, namespace, config);
        return problem === undefined ? success : failure(problem, `Delete it, then: ${AGAIN}`);
      },
    },
  ],
};

export const version: CheckCategory = {
  name: "control-plane-version",
  checks: [
    {
      description: "control plane and cli versions match",
      async run({ config }) {
        if (config === undefined) return warning("the control plane's version is unknown", AGAIN);
        if (config.version === WEFT_VERSION) return success;
        return warning(
          `the control plane is ${config.version}, this program ${WEFT_VERSION}`,
          "weft install brings the control plane to this program's version.",
        );
      },
    },
  ],
};

/** Copies in meshed namespaces: the loader in a pod refuses one that was altered, and the pod does not start. */
export async function alteredCopies(client: KubeClient, config: MeshConfig): Promise<string[]> {
  const name = proxyBundleName(config.proxy.hash);
  const { items } = await client.list<BundleConfigMap>(resource.configMaps, {
    labelSelector: `${label.managedBy}=${WEFT}`,
    fieldSelector: `metadata.name=${name}`,
  });
  return items.map((item) => digestProblem(item, config)).filter((problem) => problem !== undefined);
}

async function bundleProblem(client: KubeClient, namespace: string, config: MeshConfig): Promise<string | undefined> {
  const name = proxyBundleName(config.proxy.hash);
  const found = await client.find<BundleConfigMap>(resource.configMaps, name, namespace);
  return found === undefined ? `ConfigMap ${namespace}/${name} is missing` : digestProblem(found, config);
}

function digestProblem({ metadata, binaryData }: BundleConfigMap, config: MeshConfig): string | undefined {
  const where = `ConfigMap ${metadata.namespace}/${metadata.name}`;
  for (const [file, digest] of Object.entries(config.proxy.digests)) {
    const data = binaryData?.[file];
    if (data === undefined) return `${where} lacks ${file}`;
    const actual = createHash("sha256").update(Buffer.from(data, "base64")).digest("hex");
    if (actual !== digest) {
      return `${where} was altered: ${file} has SHA-256 ${actual.slice(0, 12)}…, installed was ${digest.slice(0, 12)}…`;
    }
  }
  return undefined;
}

async function findTrouble(
  { client, namespace }: CheckContext,
  kind?: PodTrouble["kind"],
): Promise<PodTrouble | undefined> {
  const { items } = await client.list<Pod>(resource.pods, {
    namespace,
    labelSelector: selectorText({ matchLabels: controllerSelector }),
  });
  const troubles = items.filter((pod) => !isPodReady(pod)).flatMap(podTroubles);
  return troubles.find((trouble) => kind === undefined || trouble.kind === kind);
}
