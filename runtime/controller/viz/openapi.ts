/** The OpenAPI documents that the API server merges into its own: paths and kinds, without the kinds' fields. */
import { createHash } from "node:crypto";
import { type ServedGroup, servedGroups } from "./discovery.ts";

const INFO = { title: "Weft", version: "v1alpha1" };
const ANSWERS = { "200": { description: "OK" }, "401": { description: "Unauthorized" } };

export function openApiV2(): Record<string, unknown> {
  return {
    swagger: "2.0",
    info: INFO,
    paths: Object.assign({}, ...servedGroups.map((served) => pathsOf(served, { type: "string" }))),
  };
}

/** The index of /openapi/v3: one document a group version, its hash in the address. */
export function openApiV3Index(): Record<string, unknown> {
  return {
    paths: Object.fromEntries(
      servedGroups.map((served) => {
        const path = `apis/${served.group}/${served.version}`;
        const hash = createHash("sha256")
          .update(JSON.stringify(openApiV3(served)))
          .digest("hex")
          .toUpperCase();
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash.slice(0, 32)}` }];
      }),
    ),
  };
}

export function openApiV3(served: ServedGroup): Record<string, unknown> {
  return { openapi: "3.0.0", info: INFO, paths: pathsOf(served, { schema: { type: "string" } }), components: {} };
}

/** @param text how this version of OpenAPI says that a parameter is a string */
function pathsOf({ group, version, resources }: ServedGroup, text: Record<string, unknown>): Record<string, unknown> {
  const root = `/apis/${group}/${version}`;
  const paths: Record<string, unknown> = {
    [`${root}/`]: { get: operation(`get${pascal(group)}APIResources`, "get available resources") },
  };
  for (const { plural, kind, namespaced, verbs } of resources) {
    if (plural.includes("/") || !verbs.includes("list")) continue;
    const scope = namespaced ? `${root}/namespaces/{namespace}` : root;
    paths[`${scope}/${plural}`] = {
      get: {
        ...operation(`list${pascal(group)}Namespaced${kind}`, `figures of ${plural}`),
        ...(namespaced ? { parameters: [{ name: "namespace", in: "path", required: true, ...text }] } : {}),
        "x-kubernetes-group-version-kind": { group, version, kind },
        "x-kubernetes-action": "list",
      },
    };
  }
  return paths;
}

function operation(operationId: string, description: string): Record<string, unknown> {
  return { operationId, description, responses: ANSWERS };
}

const pascal = (text: string): string =>
  text
    .split(".")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
