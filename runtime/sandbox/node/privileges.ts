/** securityContext as arguments of setpriv(1): user, groups, capabilities. */
import type { Container, PodSecurityContext } from "./pod-types.ts";

/** What containerd leaves to a container that asks for nothing. */
const DEFAULT_CAPABILITIES: readonly string[] = [
  "audit_write",
  "chown",
  "dac_override",
  "fowner",
  "fsetid",
  "kill",
  "mknod",
  "net_bind_service",
  "net_raw",
  "setfcap",
  "setgid",
  "setpcap",
  "setuid",
  "sys_chroot",
];

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** Images of Node and Debian run as root unless told otherwise. */
export function userOf(container: Container, pod: PodSecurityContext = {}): User {
  const own = container.securityContext;
  return { uid: own?.runAsUser ?? pod.runAsUser ?? 0, gid: own?.runAsGroup ?? pod.runAsGroup ?? 0 };
}

/** @returns why the kubelet would refuse to start this container; undefined where nothing forbids it */
export function refusedUser(container: Container, pod: PodSecurityContext = {}): string | undefined {
  const nonRoot = container.securityContext?.runAsNonRoot ?? pod.runAsNonRoot ?? false;
  if (!nonRoot || userOf(container, pod).uid !== 0) return undefined;
  return "container has runAsNonRoot and image will run as root";
}

/** Lower case, without `cap_`, sorted. */
export function capabilitiesOf(container: Container): string[] {
  const { add = [], drop = [] } = container.securityContext?.capabilities ?? {};
  const dropped = new Set(drop.map(plain));
  const kept = dropped.has("all") ? [] : DEFAULT_CAPABILITIES.filter((name) => !dropped.has(name));
  return [...new Set([...kept, ...add.map(plain)])].sort();
}

/**
 * Arguments of setpriv for a container, or for a command run in it. Capabilities are bounded, not made ambient: root has
 * them at once, another user through a program's file capabilities only, as under containerd.
 */
export function setprivArguments(container: Container, pod: PodSecurityContext = {}): string[] {
  const { uid, gid } = userOf(container, pod);
  const groups = [...new Set([...(pod.supplementalGroups ?? []), ...(pod.fsGroup === undefined ? [] : [pod.fsGroup])])];
  const capabilities = capabilitiesOf(container);
  const everything = container.securityContext?.privileged === true || capabilities.includes("all");
  const kept = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  return [
    // The kernel forgets it at every change of user: it is set after that.
    "--pdeathsig=KILL",
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length === 0 ? "--clear-groups" : `--groups=${groups.join(",")}`,
    "--inh-caps=-all",
    ...(everything ? [] : [`--bounding-set=${kept}`]),
    ...(container.securityContext?.allowPrivilegeEscalation === false ? ["--no-new-privs"] : []),
  ];
}

function plain(capability: string): string {
  return capability.toLowerCase().replace(/^cap_/, "");
}
