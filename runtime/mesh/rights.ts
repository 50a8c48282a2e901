/** What the user may do, asked of the API server (SelfSubjectAccessReview). */
import { apiVersionOf, resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../kube/types.ts";
import { concurrently } from "./concurrently.ts";
import { MeshError } from "./errors.ts";

export interface Right {
  readonly verb: string;
  readonly resource: Pick<Resource, "group" | "plural">;
  readonly subresource?: string;
  /** Absent: in all namespaces, or cluster-scoped. */
  readonly namespace?: string;
}

interface AccessReview extends KubeObject {
  status?: { readonly allowed: boolean; readonly reason?: string };
}

/** Kinds that an install applies. */
const INSTALLED: readonly Resource[] = [
  resource.namespaces,
  resource.serviceAccounts,
  resource.clusterRoles,
  resource.clusterRoleBindings,
  resource.roles,
  resource.roleBindings,
  resource.configMaps,
  resource.services,
  resource.deployments,
  resource.mutatingWebhookConfigurations,
  resource.apiServices,
];

/** Rights that planning and applying an install need, the most telling first. */
export const INSTALL_RIGHTS: readonly Right[] = [
  ...INSTALLED.flatMap((entry) => ["create", "patch", "get"].map((verb) => ({ verb, resource: entry }))),
  { verb: "list", resource: resource.configMaps },
  { verb: "list", resource: resource.pods },
  // A pod for trial shows that the webhook answers; it is never made.
  { verb: "create", resource: resource.pods },
];

export async function isAllowed(client: KubeClient, right: Right): Promise<boolean> {
  const review = await client.create<AccessReview>(resource.selfSubjectAccessReviews, {
    apiVersion: apiVersionOf(resource.selfSubjectAccessReviews),
    kind: "SelfSubjectAccessReview",
    metadata: { name: "" },
    spec: {
      resourceAttributes: {
        verb: right.verb,
        group: right.resource.group,
        resource: right.resource.plural,
        ...(right.subresource === undefined ? {} : { subresource: right.subresource }),
        ...(right.namespace === undefined ? {} : { namespace: right.namespace }),
      },
    },
  });
  return review.status?.allowed ?? false;
}

/** @returns those of `rights` that the user has not */
export async function missingRights(client: KubeClient, rights: readonly Right[]): Promise<Right[]> {
  const allowed = await concurrently(rights, (right) => isAllowed(client, right));
  return rights.filter((_, index) => !allowed[index]);
}

/** `create, patch on clusterroles.rbac.authorization.k8s.io; create on pods` */
export function describeRights(rights: readonly Right[]): string {
  const byResource = new Map<string, string[]>();
  for (const right of rights) {
    const { group, plural } = right.resource;
    const name = `${plural}${group === "" ? "" : `.${group}`}${right.subresource === undefined ? "" : `/${right.subresource}`}`;
    byResource.set(name, [...(byResource.get(name) ?? []), right.verb]);
  }
  return [...byResource].map(([name, verbs]) => `${verbs.join(", ")} on ${name}`).join("; ");
}

/** @throws MeshError naming what is missing */
export async function requireInstallRights(client: KubeClient): Promise<void> {
  const missing = await missingRights(client, INSTALL_RIGHTS);
  if (missing.length === 0) return;
  throw new MeshError(
    `your rights do not suffice for an install: missing ${describeRights(missing)}`,
    "Ask an administrator of this cluster to install Weft (cluster-admin can), or choose a context with more rights.",
  );
}
