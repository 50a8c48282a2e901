/** Users with few rights: service accounts, as a cluster's administrator would make them for somebody. */
import { resource, resourcePath } from "../../../runtime/kube/resources.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";

interface TokenRequest {
  readonly status: { readonly token: string };
}

/** @param role a ClusterRole, bound in the account's own namespace; undefined: no right at all. @returns a token */
export async function makeUser(
  client: KubeClient,
  namespace: string,
  name: string,
  role: string | undefined,
): Promise<string> {
  const options = { fieldManager: "weft-tests", force: true } as const;
  const metadata = { name, namespace };
  await client.apply(resource.serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata }, options);
  if (role !== undefined) {
    const binding = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata,
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
      subjects: [{ kind: "ServiceAccount", name, namespace }],
    };
    await client.apply(resource.roleBindings, binding, options);
  }
  const request = await client.json<TokenRequest>({
    method: "POST",
    path: resourcePath(resource.serviceAccounts, namespace, name, "token"),
    body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3_600 } },
  });
  return request.status.token;
}
