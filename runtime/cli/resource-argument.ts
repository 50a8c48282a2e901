/** `deploy/web`, `deploy web`, `deploy`: what a command is about, by kubectl's names. */
import type { InjectTarget, TapQuery } from "../mesh/types.ts";
import type { StatResource } from "../model/statistics.ts";
import { UsageError } from "./errors.ts";

interface Kind {
  /** As APIs name it. */
  readonly plural: TapQuery["kind"];
  readonly kind: InjectTarget["kind"] | "Service" | "Pod";
  readonly names: readonly string[];
}

const KINDS: readonly Kind[] = [
  { plural: "namespaces", kind: "Namespace", names: ["ns", "namespace", "namespaces"] },
  { plural: "services", kind: "Service", names: ["svc", "service", "services"] },
  { plural: "deployments", kind: "Deployment", names: ["deploy", "deployment", "deployments"] },
  { plural: "statefulsets", kind: "StatefulSet", names: ["sts", "statefulset", "statefulsets"] },
  { plural: "daemonsets", kind: "DaemonSet", names: ["ds", "daemonset", "daemonsets"] },
  { plural: "pods", kind: "Pod", names: ["po", "pod", "pods"] },
];

export interface ResourceArgument extends Pick<Kind, "plural" | "kind"> {
  readonly name: string | undefined;
}

/** @throws UsageError where it is none, or too many words */
export function parseResource(words: readonly string[]): ResourceArgument {
  const [first = "", ...rest] = words;
  const [type = "", ...slashed] = first.split("/");
  const names = [...slashed, ...rest];
  if (type === "") throw new UsageError("name a resource, e.g. deploy/web");
  if (names.length > 1) throw new UsageError(`one resource at a time, not "${words.join(" ")}"`);
  const kind = KINDS.find((entry) => entry.names.includes(type.toLowerCase()));
  if (kind === undefined) {
    const known = KINDS.map(({ names: [short] }) => short).join(", ");
    throw new UsageError(`"${type}" is no kind that the mesh knows; there are ${known}`);
  }
  const name = names[0] === "" ? undefined : names[0];
  return { plural: kind.plural, kind: kind.kind, name };
}

/** @throws UsageError where there are no figures of its kind */
export function statResource({ plural }: ResourceArgument): StatResource {
  if (plural === "namespaces") throw new UsageError("figures are kept of svc, deploy, sts, ds and pods");
  return plural;
}

/** @throws UsageError where a proxy cannot be asked for there */
export function injectTarget({ kind, name }: ResourceArgument, namespace: string): InjectTarget {
  if (name === undefined) throw new UsageError("name it, e.g. ns/shop or deploy/web");
  if (kind === "Service" || kind === "Pod") {
    throw new UsageError("a proxy is asked for on ns, deploy, sts or ds: pods are made by those");
  }
  return { kind, name, namespace: kind === "Namespace" ? name : namespace };
}

/** @throws UsageError where no name is given */
export function tapTarget(
  { plural, name }: ResourceArgument,
  namespace: string,
): Pick<TapQuery, "kind" | "name" | "namespace"> {
  if (name === undefined) throw new UsageError("name what to tap, e.g. deploy/web or ns/shop");
  return { kind: plural, name, namespace: plural === "namespaces" ? name : namespace };
}
