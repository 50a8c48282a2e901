/** Pod Security Standards by labels of the namespace (KEP-2579): the checks a mesh meets. */
import { resource } from "../../../kube/resources.ts";
import type { AdmissionPlugin } from "../admission.ts";
import { type Fields, fieldsAt, isFields, listAt, stringAt } from "../object.ts";
import { forbidden } from "../status.ts";
import type { ObjectStore } from "../store.ts";

const PREFIX = "pod-security.kubernetes.io/";

export function podSecurity(store: ObjectStore): AdmissionPlugin {
  return {
    validate({ kind, namespace, name, operation, subresource, object, warnings }) {
      if (operation !== "CREATE" || subresource !== "" || object === undefined || namespace === undefined) return;
      const labels = store.get(resource.namespaces, undefined, namespace)?.metadata.labels ?? {};
      const spec = kind.kind === "Pod" ? fieldsAt(object, "spec") : fieldsAt(object, "spec", "template", "spec");
      if (Object.keys(spec).length === 0) return;
      const violations = (mode: string): string | undefined => {
        const level = labels[`${PREFIX}${mode}`] ?? "privileged";
        const version = labels[`${PREFIX}${mode}-version`] ?? "latest";
        const found = podViolations(spec, level);
        return found.length === 0 ? undefined : `violates PodSecurity "${level}:${version}": ${found.join(", ")}`;
      };
      const warning = violations("warn");
      if (warning !== undefined) warnings.push(`would ${warning.replace(/^violates/, "violate")}`);
      // Workloads are only warned of; their pods are refused.
      const refusal = kind.kind === "Pod" ? violations("enforce") : undefined;
      if (refusal !== undefined) throw forbidden(kind, name, refusal);
    },
  };
}

interface Named {
  readonly name: string;
  readonly security: Fields;
  readonly container: Fields;
}

/** What a pod spec does that a level forbids, in the words of the real one. */
export function podViolations(spec: Fields, level: string): string[] {
  if (level !== "baseline" && level !== "restricted") return [];
  const containers: Named[] = [...listAt(spec, "initContainers"), ...listAt(spec, "containers")].map((container) => ({
    name: String(container["name"]),
    security: fieldsAt(container, "securityContext"),
    container,
  }));
  const found = baseline(spec, containers, level === "restricted");
  return level === "restricted" ? [...found, ...restricted(spec, containers)] : found;
}

/** Capabilities that a container may add under baseline. */
const BASELINE_CAPABILITIES = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
];

function baseline(spec: Fields, containers: readonly Named[], restrictedToo: boolean): string[] {
  const found: string[] = [];
  const host = ["hostNetwork", "hostPID", "hostIPC"].filter((field) => spec[field] === true);
  if (host.length > 0) found.push(`host namespaces (${host.map((field) => `${field}=true`).join(", ")})`);
  const ports = containers.filter(({ container }) =>
    listAt(container, "ports").some((port) => (port["hostPort"] ?? 0) !== 0),
  );
  if (ports.length > 0) {
    const numbers = ports.flatMap(({ container }) =>
      listAt(container, "ports")
        .map((port) => port["hostPort"])
        .filter((port) => port !== undefined),
    );
    found.push(`hostPort (${who(ports)} ${uses(ports)} hostPort ${numbers.join(", ")})`);
  }
  const hostPaths = listAt(spec, "volumes").filter((volume) => isFields(volume["hostPath"]));
  if (hostPaths.length > 0)
    found.push(`hostPath volumes (volume ${quoted(hostPaths.map((volume) => String(volume["name"])))})`);
  const privileged = containers.filter(({ security }) => security["privileged"] === true);
  if (privileged.length > 0) found.push(`privileged (${who(privileged)} must not set securityContext.privileged=true)`);
  if (!restrictedToo) {
    const added = containers.filter(({ security }) => addedBeyond(security, BASELINE_CAPABILITIES).length > 0);
    if (added.length > 0) {
      const names = [...new Set(added.flatMap(({ security }) => addedBeyond(security, BASELINE_CAPABILITIES)))];
      found.push(
        `non-default capabilities (${who(added)} must not include ${quoted(names)} in securityContext.capabilities.add)`,
      );
    }
  }
  return found;
}

function restricted(spec: Fields, containers: readonly Named[]): string[] {
  const found: string[] = [];
  const pod = fieldsAt(spec, "securityContext");
  const escalating = containers.filter(({ security }) => security["allowPrivilegeEscalation"] !== false);
  if (escalating.length > 0) {
    found.push(
      `allowPrivilegeEscalation != false (${who(escalating)} must set securityContext.allowPrivilegeEscalation=false)`,
    );
  }
  const keeping = containers.filter(({ security }) => !capabilities(security, "drop").includes("ALL"));
  const adding = containers.filter(({ security }) => addedBeyond(security, ["NET_BIND_SERVICE"]).length > 0);
  if (keeping.length + adding.length > 0) {
    const parts: string[] = [];
    if (keeping.length > 0) parts.push(`${who(keeping)} must set securityContext.capabilities.drop=["ALL"]`);
    if (adding.length > 0) {
      const names = [...new Set(adding.flatMap(({ security }) => addedBeyond(security, ["NET_BIND_SERVICE"])))];
      parts.push(`${who(adding)} must not include ${quoted(names)} in securityContext.capabilities.add`);
    }
    found.push(`unrestricted capabilities (${parts.join("; ")})`);
  }
  const rooted = containers.filter(({ security }) => (security["runAsNonRoot"] ?? pod["runAsNonRoot"]) !== true);
  if (rooted.length > 0)
    found.push(`runAsNonRoot != true (pod or ${who(rooted)} must set securityContext.runAsNonRoot=true)`);
  const zero = containers.filter(({ security }) => (security["runAsUser"] ?? pod["runAsUser"]) === 0);
  if (zero.length > 0) found.push(`runAsUser=0 (${who(zero)} must not set runAsUser=0)`);
  const unconfined = containers.filter(({ security }) => {
    const type = stringAt(security, "seccompProfile", "type") ?? stringAt(pod, "seccompProfile", "type");
    return type !== "RuntimeDefault" && type !== "Localhost";
  });
  if (unconfined.length > 0) {
    found.push(
      `seccompProfile (pod or ${who(unconfined)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`,
    );
  }
  return found;
}

function capabilities(security: Fields, list: "add" | "drop"): string[] {
  const values = fieldsAt(security, "capabilities")[list];
  return Array.isArray(values) ? (values as string[]) : [];
}

function addedBeyond(security: Fields, allowed: readonly string[]): string[] {
  return capabilities(security, "add").filter((name) => !allowed.includes(name));
}

function who(containers: readonly Named[]): string {
  return `container${containers.length === 1 ? "" : "s"} ${quoted(containers.map(({ name }) => name))}`;
}

function uses(containers: readonly Named[]): string {
  return containers.length === 1 ? "uses" : "use";
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}
