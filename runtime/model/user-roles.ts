/**
 * ClusterRoles for the people who use the mesh, as data for the installer. Reading figures comes with `view` (and so with
 * edit and admin); tapping shows other people's requests and is granted by name only.
 */
import type { PolicyRule } from "./control-plane-rbac.ts";
import { STATS_GROUP, TAP_GROUP } from "./statistics.ts";

export interface UserRole {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly rules: readonly PolicyRule[];
}

export function userRoles(): UserRole[] {
  return [
    {
      name: "weft-stats-view",
      // kube-controller-manager adds the rules of every role with this label to `view`, and that to edit and admin.
      labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" },
      // A stream (?watch=true) is a watch to RBAC.
      rules: [{ apiGroups: [STATS_GROUP], resources: ["*"], verbs: ["get", "list", "watch"] }],
    },
    {
      // Linkerd's counterpart: linkerd-linkerd-viz-tap-admin. Bind it, or a narrower one (pods/tap…), to who may tap.
      name: "weft-tap-admin",
      labels: {},
      rules: [{ apiGroups: [TAP_GROUP], resources: ["*"], verbs: ["watch"] }],
    },
  ];
}
