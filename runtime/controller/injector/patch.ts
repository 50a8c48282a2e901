/** The JSONPatch (RFC 6902) that makes a pod meshed. */
import { createHash } from "node:crypto";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { annotation, CONFIG_ANNOTATION_PREFIX, label } from "../../model/names.ts";
import { REDIRECT_RULES_ANNOTATION, redirectRules } from "../../model/redirect-rules.ts";
import { initContainer, proxyContainer, volumes } from "./containers.ts";
import type { Owner } from "./owner.ts";
import type { Annotations, Pod } from "./pod.ts";
import { proxyEnv } from "./proxy-env.ts";
import { opaquePortsAnnotation, type ProxySettings, proxySettings } from "./settings.ts";

export interface PatchOperation {
  readonly op: "add" | "replace";
  readonly path: string;
  readonly value: unknown;
}

export interface Injection {
  readonly pod: Pod;
  /** Of the AdmissionRequest: the pod's own may be missing. */
  readonly namespace: string;
  readonly namespaceAnnotations: Annotations;
  readonly owner: Owner | undefined;
  readonly ingress: boolean;
  readonly mesh: MeshConfig;
  /** PEM. */
  readonly trustBundle: string;
}

/** Label values hold 63 characters. */
const MAX_LABEL = 63;

export function injectionPatch(injection: Injection): { operations: PatchOperation[]; warnings: string[] } {
  const { pod, mesh } = injection;
  const { settings, warnings } = proxySettings(pod, injection.namespaceAnnotations, mesh);
  const env = proxyEnv(pod, settings, mesh, { ingress: injection.ingress });
  const init = initContainer(settings, mesh);
  const proxy = proxyContainer(env, settings, mesh);

  const operations: PatchOperation[] = [
    ...addToMap("/metadata/annotations", pod.metadata.annotations, annotationsOf(injection, settings)),
    ...addToMap("/metadata/labels", pod.metadata.labels, labelsOf(injection)),
    ...append("/spec/volumes", pod.spec.volumes, volumes(mesh)),
    // The redirect first, then the proxy: init containers of the application already run through it.
    ...prepend("/spec/initContainers", pod.spec.initContainers, settings.nativeSidecar ? [init, proxy] : [init]),
  ];
  if (!settings.nativeSidecar) {
    // The kubelet starts containers in order and waits for each one's postStart.
    operations.push(
      ...(settings.await
        ? prepend("/spec/containers", pod.spec.containers, [proxy])
        : append("/spec/containers", pod.spec.containers, [proxy])),
    );
  }
  return { operations, warnings };
}

function annotationsOf(injection: Injection, settings: ProxySettings): Record<string, string> {
  const { pod, mesh, namespaceAnnotations } = injection;
  const own = pod.metadata.annotations ?? {};
  const inherited = Object.entries(namespaceAnnotations).filter(
    ([key]) => key.startsWith(CONFIG_ANNOTATION_PREFIX) && own[key] === undefined,
  );
  const opaque = opaquePortsAnnotation(
    pod,
    settings,
    own[annotation.opaquePorts] ?? namespaceAnnotations[annotation.opaquePorts],
  );
  return {
    ...Object.fromEntries(inherited),
    ...(opaque === undefined ? {} : { [annotation.opaquePorts]: opaque }),
    [annotation.createdBy]: `weft/proxy-injector ${mesh.version}`,
    [annotation.proxyVersion]: mesh.version,
    [annotation.trustRootSha256]: createHash("sha256").update(injection.trustBundle).digest("hex"),
    ...(settings.tap ? { [annotation.tapEnabled]: "true" } : {}),
    [REDIRECT_RULES_ANNOTATION]: redirectRules({
      inboundPort: settings.ports.inbound,
      outboundPort: settings.ports.outbound,
      proxyUid: settings.uid,
      skipInboundPorts: [...single(settings.ports.control, settings.ports.admin), ...settings.skipInboundPorts],
      skipOutboundPorts: settings.skipOutboundPorts,
      skipSubnets: settings.skipSubnets,
    }),
  };
}

function labelsOf({ namespace, owner, mesh }: Injection): Record<string, string> {
  return {
    [label.controlPlaneNamespace]: mesh.controlPlaneNamespace,
    [label.workloadNamespace]: namespace,
    ...(owner !== undefined && owner.name.length <= MAX_LABEL ? { [label.proxyOwner(owner.kind)]: owner.name } : {}),
  };
}

const single = (...ports: number[]): { first: number; last: number }[] =>
  ports.map((port) => ({ first: port, last: port }));

function addToMap(
  path: string,
  present: Annotations | undefined,
  added: Readonly<Record<string, string>>,
): PatchOperation[] {
  if (present === undefined) return [{ op: "add", path, value: added }];
  return Object.entries(added).map(([key, value]) => ({ op: "add", path: `${path}/${escapePointer(key)}`, value }));
}

function append(path: string, present: readonly unknown[] | undefined, added: readonly unknown[]): PatchOperation[] {
  if (present === undefined) return [{ op: "add", path, value: added }];
  return added.map((value) => ({ op: "add", path: `${path}/-`, value }));
}

function prepend(path: string, present: readonly unknown[] | undefined, added: readonly unknown[]): PatchOperation[] {
  if (present === undefined) return [{ op: "add", path, value: added }];
  return added.map((value, index) => ({ op: "add", path: `${path}/${index}`, value }));
}

/** RFC 6901. */
function escapePointer(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}
