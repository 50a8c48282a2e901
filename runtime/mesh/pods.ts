/** Pods as far as a mesh's user cares: are they ready, and what keeps them from it. */
import type { KubeClient, KubeObject } from "../kube/types.ts";

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: { readonly exitCode: number; readonly reason?: string; readonly message?: string };
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly started?: boolean;
  readonly restartCount: number;
  readonly image: string;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly restartPolicy?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

export interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly automountServiceAccountToken?: boolean;
  readonly serviceAccountName?: string;
  readonly nodeName?: string;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}

export interface Pod extends KubeObject {
  spec: PodSpec;
  status?: {
    readonly phase?: string;
    readonly message?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

export interface PodTrouble {
  readonly pod: string;
  readonly container?: string;
  readonly kind: "image" | "config" | "crash" | "unschedulable";
  /** One sentence. */
  readonly message: string;
  /** What the container itself left as its last message, for `crash`. */
  readonly said?: string;
  /** Restarts so far, for `crash`. */
  readonly restarts: number;
}

const IMAGE_REASONS = new Set(["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"]);
const CONFIG_REASONS = new Set(["CreateContainerConfigError", "CreateContainerError", "RunContainerError"]);
/** As the containers' own last words: enough to see the error, not the whole story. */
const LOG_LINES = 10;

export function isPodReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** What keeps a pod from becoming ready, worst first; empty while it is merely on its way. */
export function podTroubles(pod: Pod): PodTrouble[] {
  const { name } = pod.metadata;
  const { conditions = [], containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const troubles: PodTrouble[] = [];
  for (const status of [...initContainerStatuses, ...containerStatuses]) {
    const trouble = containerTrouble(name, status);
    if (trouble !== undefined) troubles.push(trouble);
  }
  const scheduled = conditions.find(({ type }) => type === "PodScheduled");
  if (scheduled?.status === "False") {
    const message = `no node takes pod ${name}: ${scheduled.message ?? scheduled.reason ?? "unschedulable"}`;
    troubles.push({ pod: name, kind: "unschedulable", message, restarts: 0 });
  }
  return troubles;
}

function containerTrouble(pod: string, status: ContainerStatus): PodTrouble | undefined {
  const { waiting, terminated } = status.state ?? {};
  const where = `container ${status.name} of pod ${pod}`;
  const found = { pod, container: status.name, restarts: status.restartCount };
  const reason = waiting?.reason ?? "";
  if (IMAGE_REASONS.has(reason)) {
    const why = waiting?.message ?? reason;
    return { ...found, kind: "image", message: `image ${status.image} of ${where} cannot be pulled: ${why}` };
  }
  if (CONFIG_REASONS.has(reason)) {
    return { ...found, kind: "config", message: `${where} cannot be started: ${waiting?.message ?? reason}` };
  }
  const last = terminated ?? status.lastState?.terminated;
  if (last === undefined || last.exitCode === 0 || status.ready) return undefined;
  if (reason !== "CrashLoopBackOff" && terminated === undefined) return undefined;
  const how = last.reason === "OOMKilled" ? "was killed: out of memory" : `ended with exit code ${last.exitCode}`;
  const said = last.message?.trim();
  return { ...found, kind: "crash", message: `${where} ${how}`, ...(said ? { said } : {}) };
}

/** The last lines that a container printed before it ended; empty where there are none to be had. */
export async function lastWords(client: KubeClient, namespace: string, trouble: PodTrouble): Promise<string> {
  if (trouble.kind !== "crash" || trouble.container === undefined) return "";
  for (const previous of [true, false]) {
    try {
      const stream = await client.transport.open({
        method: "GET",
        path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(trouble.pod)}/log`,
        query: { container: trouble.container, previous, tailLines: LOG_LINES },
      });
      const chunks: Uint8Array[] = [];
      for await (const chunk of stream.body) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString("utf8").trim();
      // The kubelet says so in the log's place, with status 200, where the container's files are gone.
      if (stream.status === 200 && text !== "" && !text.startsWith("unable to retrieve container logs")) return text;
    } catch {
      // Its words are an extra: the trouble itself is told without them.
    }
  }
  return trouble.said ?? "";
}
