/** A pod's phase and conditions from the state of its containers (kubelet's getPhase and status/generate.go). */
import { type ContainerStatus, isSidecar, type Pod, type PodCondition, type PodStatus } from "./pod-types.ts";

export interface ObservedPod {
  readonly hostAddress: string;
  /** Absent until the pod has its network. */
  readonly podAddress?: string;
  readonly startTime: string;
  readonly initContainers: readonly ContainerStatus[];
  readonly containers: readonly ContainerStatus[];
  /** Nothing of it runs any more, and nothing will. */
  readonly over: boolean;
}

type Phase = NonNullable<PodStatus["phase"]>;

/** @param now RFC 3339, for conditions that change @returns the whole status; fields of others are kept */
export function podStatus(pod: Pod, observed: ObservedPod, now: string): PodStatus {
  const { podAddress, hostAddress } = observed;
  const phase = podPhase(pod, observed);
  const previous = pod.status?.conditions ?? [];
  const fresh = conditions(pod, observed, phase).map((condition) => withTransition(condition, previous, now));
  const foreign = previous.filter(({ type }) => !fresh.some((condition) => condition.type === type));
  return {
    ...pod.status,
    phase,
    conditions: [...foreign, ...fresh],
    hostIP: hostAddress,
    hostIPs: [{ ip: hostAddress }],
    ...(podAddress === undefined ? {} : { podIP: podAddress, podIPs: [{ ip: podAddress }] }),
    startTime: observed.startTime,
    ...(observed.initContainers.length === 0 ? {} : { initContainerStatuses: [...observed.initContainers] }),
    containerStatuses: [...observed.containers],
  };
}

/** A regular init container is over when it ended well; a sidecar once it has started. */
function initialized(pod: Pod, { initContainers }: ObservedPod): string[] {
  return (pod.spec.initContainers ?? [])
    .filter((container) => {
      const status = initContainers.find(({ name }) => name === container.name);
      if (isSidecar(container)) return !status?.started && status?.state.terminated === undefined;
      return status?.state.terminated?.exitCode !== 0;
    })
    .map(({ name }) => name);
}

function podPhase(pod: Pod, observed: ObservedPod): Phase {
  const { containers, initContainers, over } = observed;
  const policy = pod.spec.restartPolicy ?? "Always";
  const stopped = containers.filter(
    ({ state, lastState }) => state.terminated ?? (state.waiting && lastState.terminated),
  );
  const succeeded = stopped.filter(({ state }) => state.terminated?.exitCode === 0);
  if (over) {
    return containers.length > 0 && succeeded.length === containers.length ? "Succeeded" : "Failed";
  }
  const initFailed = (pod.spec.initContainers ?? []).some((container) => {
    const exit = initContainers.find(({ name }) => name === container.name)?.state.terminated;
    return !isSidecar(container) && exit !== undefined && exit.exitCode !== 0;
  });
  if (initFailed && policy === "Never") return "Failed";
  const running = containers.filter(({ state }) => state.running);
  if (running.length + stopped.length < containers.length) return "Pending";
  // Applications may be done while a sidecar still has to end.
  const beside = initContainers.some(({ state }) => state.running);
  if (running.length > 0 || beside || policy === "Always") return "Running";
  if (succeeded.length === containers.length) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
}

function conditions(pod: Pod, observed: ObservedPod, phase: Phase): PodCondition[] {
  const uninitialized = initialized(pod, observed);
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const unready = [...observed.initContainers.filter(({ name }) => sidecars.has(name)), ...observed.containers]
    .filter(({ ready }) => !ready)
    .map(({ name }) => name);
  const readiness: Omit<PodCondition, "type"> =
    phase === "Succeeded"
      ? { status: "False", reason: "PodCompleted" }
      : phase === "Failed"
        ? { status: "False", reason: "PodFailed" }
        : unready.length > 0
          ? {
              status: "False",
              reason: "ContainersNotReady",
              message: `containers with unready status: [${unready.join(" ")}]`,
            }
          : { status: "True" };
  return [
    {
      type: "PodReadyToStartContainers",
      status: observed.podAddress !== undefined && !observed.over ? "True" : "False",
    },
    uninitialized.length === 0 || phase === "Succeeded"
      ? { type: "Initialized", status: "True", ...(phase === "Succeeded" ? { reason: "PodCompleted" } : {}) }
      : {
          type: "Initialized",
          status: "False",
          reason: "ContainersNotInitialized",
          message: `containers with incomplete status: [${uninitialized.join(" ")}]`,
        },
    { type: "Ready", ...readiness },
    { type: "ContainersReady", ...readiness },
    { type: "PodScheduled", status: "True" },
  ];
}

function withTransition(condition: PodCondition, previous: readonly PodCondition[], now: string): PodCondition {
  const before = previous.find(({ type }) => type === condition.type);
  const since = before?.status === condition.status ? (before.lastTransitionTime ?? now) : now;
  return { ...condition, lastProbeTime: null, lastTransitionTime: since };
}
