/**
 * CustomResourceDefinitions of the kinds that snippets use, with the fields and limits of Linkerd's policy API (reference
 * 6.1) and of the Gateway API's HTTPRoute. Applied only where a cluster has none of its own.
 */
import type { KubeObject } from "../../../runtime/kube/types.ts";

type Schema = Readonly<Record<string, unknown>>;

const text = { type: "string" } as const;
const name = { type: "string", minLength: 1, maxLength: 253 } as const;
const port = { type: "integer", format: "int32", minimum: 1, maximum: 65_535 } as const;
const object = (properties: Record<string, Schema>, required: readonly string[] = []): Schema => ({
  type: "object",
  properties,
  ...(required.length === 0 ? {} : { required }),
});
const list = (items: Schema, limits: Schema = {}): Schema => ({ type: "array", items, ...limits });

const labelSelector = object({
  matchLabels: { type: "object", additionalProperties: text },
  matchExpressions: list(object({ key: text, operator: text, values: list(text) }, ["key", "operator"])),
});
const reference = object({ group: text, kind: text, name, namespace: text }, ["kind", "name"]);

function definition(group: string, kind: string, plural: string, version: string, spec: Schema): KubeObject {
  const annotations = group.endsWith(".k8s.io") ? { "api-approved.kubernetes.io": "unapproved, for tests" } : {};
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}`, annotations, labels: { "weft.dev/made-by": "tests" } },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [
        { name: version, served: true, storage: true, schema: { openAPIV3Schema: object({ spec }, ["spec"]) } },
      ],
    },
  };
}

const POLICY = "policy.linkerd.io";
const PROTOCOLS = ["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"];
const ACCESS = [
  "deny",
  "all-authenticated",
  "all-unauthenticated",
  "cluster-authenticated",
  "cluster-unauthenticated",
  "audit",
];

export const definitions: readonly KubeObject[] = [
  definition(POLICY, "Server", "servers", "v1beta3", {
    ...object(
      {
        port: { "x-kubernetes-int-or-string": true },
        podSelector: labelSelector,
        externalWorkloadSelector: labelSelector,
        proxyProtocol: { type: "string", enum: PROTOCOLS, default: "unknown" },
        accessPolicy: { type: "string", enum: ACCESS, default: "deny" },
      },
      ["port"],
    ),
    oneOf: [{ required: ["podSelector"] }, { required: ["externalWorkloadSelector"] }],
  }),
  definition(
    POLICY,
    "AuthorizationPolicy",
    "authorizationpolicies",
    "v1alpha1",
    object({ targetRef: reference, requiredAuthenticationRefs: list(reference) }, ["targetRef"]),
  ),
  definition(POLICY, "MeshTLSAuthentication", "meshtlsauthentications", "v1alpha1", {
    ...object({ identities: list(text, { minItems: 1 }), identityRefs: list(reference, { minItems: 1 }) }),
    oneOf: [{ required: ["identities"] }, { required: ["identityRefs"] }],
  }),
  definition(
    "gateway.networking.k8s.io",
    "HTTPRoute",
    "httproutes",
    "v1",
    object({
      hostnames: list(text, { maxItems: 16 }),
      parentRefs: list(object({ group: text, kind: text, namespace: text, name, sectionName: text, port }, ["name"]), {
        maxItems: 32,
      }),
      rules: list(
        object({
          name: text,
          matches: list(
            object({
              path: object({
                type: { type: "string", enum: ["Exact", "PathPrefix", "RegularExpression"], default: "PathPrefix" },
                value: { type: "string", maxLength: 1024, default: "/" },
              }),
              method: text,
              headers: list(object({ type: text, name: text, value: text }, ["name", "value"]), { maxItems: 16 }),
            }),
            { maxItems: 64 },
          ),
          backendRefs: list(
            object(
              {
                group: text,
                kind: text,
                namespace: text,
                name,
                port,
                weight: { type: "integer", format: "int32", minimum: 0, maximum: 1_000_000, default: 1 },
              },
              ["name"],
            ),
            { maxItems: 16 },
          ),
          timeouts: object({ request: text, backendRequest: text }),
        }),
        { minItems: 1, maxItems: 16 },
      ),
    }),
  ),
];
