/** Labels that name resources of a policy (reference 7.2). */
import type { Metadata } from "../../api/gen/io/linkerd/proxy/meta.ts";
import type { Labels } from "../metrics/series.ts";

/** `parent_*` or `backend_*`. */
export function referenceLabels(prefix: "parent" | "backend", metadata: Metadata | undefined): Labels {
  const kind = metadata?.kind;
  const resource = kind?.$case === "resource" ? kind.value : undefined;
  return [
    [`${prefix}_group`, resource?.group ?? ""],
    [`${prefix}_kind`, resource?.kind ?? "default"],
    [`${prefix}_namespace`, resource?.namespace ?? ""],
    [`${prefix}_name`, resource?.name ?? (kind?.$case === "default" ? kind.value : "")],
    [`${prefix}_port`, resource === undefined || resource.port === 0 ? "" : String(resource.port)],
    [`${prefix}_section_name`, resource?.section ?? ""],
  ];
}

/** `route_*`. */
export function routeLabels(metadata: Metadata | undefined): Labels {
  const kind = metadata?.kind;
  const resource = kind?.$case === "resource" ? kind.value : undefined;
  return [
    ["route_group", resource?.group ?? ""],
    ["route_kind", resource?.kind ?? "default"],
    ["route_namespace", resource?.namespace ?? ""],
    ["route_name", resource?.name ?? (kind?.$case === "default" ? kind.value : "")],
  ];
}
