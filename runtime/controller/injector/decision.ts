/** Whether a pod gets a proxy (reference 3.2). The reasons' names are labels of metrics: contract. */
import { annotation, container } from "../../model/names.ts";
import type { Annotations, Pod } from "./pod.ts";

export const skipReasons = {
  host_network_enabled:
    "pods on the host's network share its traffic: a redirect would catch all of it (hostNetwork: true)",
  sidecar_already_exists: "the pod already has a service mesh's proxy",
  unsupported_resource: "this kind of object cannot have a proxy",
  injection_enable_annotation_absent: `neither pod nor namespace has the annotation ${annotation.inject}: enabled`,
  injection_disable_annotation_present: `the annotation ${annotation.inject} says disabled`,
  invalid_inject_annotation_at_workload: `the pod's annotation ${annotation.inject} is none of enabled, disabled, ingress`,
  invalid_inject_annotation_at_ns: `the namespace's annotation ${annotation.inject} is none of enabled, disabled, ingress`,
  disabled_automount_service_account_token_account:
    "the pod asks for no service-account token (automountServiceAccountToken: false): its proxy could prove no identity",
} as const;

export type SkipReason = keyof typeof skipReasons;

/** Where the annotation that decided was found; a label of metrics. */
export type AnnotationAt = "workload" | "namespace" | "none";

export type Decision =
  | { readonly inject: true; readonly ingress: boolean; readonly annotationAt: AnnotationAt }
  | {
      readonly inject: false;
      readonly reason: SkipReason;
      readonly annotationAt: AnnotationAt;
      /** Somebody asked for a proxy and does not get one: worth an event. */
      readonly asked: boolean;
    };

const MESH_CONTAINERS: readonly string[] = [container.proxy, container.init, "istio-proxy", "istio-init"];
const MESH_IMAGE = /(^|\/)(linkerd\/proxy(-init)?|istio(-release)?\/(proxyv2|proxy_init|proxy-init))([:@]|$)/;

export function decide(pod: Pod, namespaceAnnotations: Annotations): Decision {
  const own = pod.metadata.annotations?.[annotation.inject];
  const inherited = namespaceAnnotations[annotation.inject];
  const annotationAt: AnnotationAt = own !== undefined ? "workload" : inherited !== undefined ? "namespace" : "none";
  const skip = (reason: SkipReason, asked: boolean): Decision => ({ inject: false, reason, annotationAt, asked });

  switch (own ?? inherited) {
    case undefined:
      return skip("injection_enable_annotation_absent", false);
    case "disabled":
      return skip("injection_disable_annotation_present", false);
    case "enabled":
    case "ingress":
      break;
    default: {
      const atPod = own !== undefined;
      return skip(atPod ? "invalid_inject_annotation_at_workload" : "invalid_inject_annotation_at_ns", true);
    }
  }
  if (pod.spec.hostNetwork === true) return skip("host_network_enabled", true);
  if (hasMeshContainer(pod)) return skip("sidecar_already_exists", true);
  if (pod.spec.automountServiceAccountToken === false) {
    return skip("disabled_automount_service_account_token_account", true);
  }
  return { inject: true, ingress: (own ?? inherited) === "ingress", annotationAt };
}

function hasMeshContainer(pod: Pod): boolean {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].some(
    ({ name, image }) => MESH_CONTAINERS.includes(name) || MESH_IMAGE.test(image ?? ""),
  );
}
