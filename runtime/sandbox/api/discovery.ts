/** What is served, for clients that ask: /api, /apis, one group, one version; aggregated (KEP-3352) or not; and OpenAPI's bare bones. */
import { apiVersionOf } from "../../kube/resources.ts";
import type { Kind } from "./kind.ts";
import type { Fields } from "./object.ts";
import type { Registry } from "./registry.ts";
import { type ReviewKind, reviews } from "./reviews.ts";

export const VERSION = {
  major: "1",
  minor: "34",
  gitVersion: "v1.34.0+weft-sandbox",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
} as const;

const KIND_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** A group and version that other servers serve (APIServices), with its resources as they tell them. */
export interface RemoteVersion {
  readonly group: string;
  readonly version: string;
  /** APIResourceList.resources; undefined where they cannot be had now. */
  readonly resources: readonly Fields[] | undefined;
}

interface GroupVersion {
  readonly group: string;
  readonly version: string;
  /** Served here, not by another server. */
  readonly local: boolean;
}

export class Discovery {
  readonly #registry: Registry;
  readonly #remote: () => readonly RemoteVersion[];

  constructor(registry: Registry, remote: () => readonly RemoteVersion[]) {
    this.#registry = registry;
    this.#remote = remote;
  }

  /** Answers a discovery path; undefined for any other. */
  answer(
    path: string,
    accept: string | undefined,
    address: string,
  ): { body: Fields; contentType?: string } | undefined {
    const aggregated = /as=APIGroupDiscoveryList/.test(accept ?? "") && /v=v2(;|,|$)/.test(accept ?? "");
    const parts = path.split("/").filter((part) => part !== "");
    if (parts[0] === "api" && parts.length === 1) {
      return aggregated ? this.#aggregated(true) : { body: coreVersions(address) };
    }
    if (parts[0] === "apis" && parts.length === 1)
      return aggregated ? this.#aggregated(false) : { body: this.#groupList() };
    if (parts[0] === "api" && parts.length === 2) return this.#resourceList("", parts[1] ?? "");
    if (parts[0] === "apis" && parts.length === 2) return this.#group(parts[1] ?? "");
    if (parts[0] === "apis" && parts.length === 3) return this.#resourceList(parts[1] ?? "", parts[2] ?? "");
    return undefined;
  }

  /** Every group and version, local ones first. */
  versions(): GroupVersion[] {
    const local = [...this.#registry.all(), ...reviews].map((entry) => ({ ...entry, local: true }));
    const all = [...local, ...this.#remote().map((entry) => ({ ...entry, local: false }))];
    return [
      ...new Map(all.map(({ group, version, local }) => [`${group}/${version}`, { group, version, local }])).values(),
    ];
  }

  #groupList(): Fields {
    const groups = [...new Set(this.versions().map(({ group }) => group))].filter((group) => group !== "");
    return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map((group) => this.#groupBody(group)) };
  }

  #group(name: string): { body: Fields } | undefined {
    if (!this.versions().some(({ group }) => group === name)) return undefined;
    return { body: { kind: "APIGroup", apiVersion: "v1", ...this.#groupBody(name) } };
  }

  #groupBody(name: string): Fields {
    const versions = this.versions()
      .filter(({ group }) => group === name)
      .map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
    return { name, versions, preferredVersion: versions[0] };
  }

  #resourceList(group: string, version: string): { body: Fields } | undefined {
    const kinds = this.#kinds(group, version);
    const asked = this.#reviews(group, version);
    if (kinds.length + asked.length === 0) return undefined;
    const resources = [
      ...kinds.flatMap(resourceEntries),
      ...asked.map((review) => ({
        name: review.plural,
        singularName: review.kind.toLowerCase(),
        namespaced: review.namespaced,
        kind: review.kind,
        verbs: ["create"],
      })),
    ];
    const groupVersion = group === "" ? version : `${group}/${version}`;
    return { body: { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources } };
  }

  #kinds(group: string, version: string): Kind[] {
    return this.#registry
      .all()
      .filter((kind) => kind.group === group && kind.version === version)
      .sort((a, b) => (a.plural < b.plural ? -1 : 1));
  }

  #reviews(group: string, version: string): ReviewKind[] {
    return reviews.filter((review) => review.group === group && review.version === version);
  }

  #aggregated(core: boolean): { body: Fields; contentType: string } {
    const groups = [...new Set(this.versions().map(({ group }) => group))].filter((group) => (group === "") === core);
    return {
      contentType: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
      body: {
        kind: "APIGroupDiscoveryList",
        apiVersion: "apidiscovery.k8s.io/v2",
        metadata: {},
        items: groups.map((group) => ({
          metadata: { name: group, creationTimestamp: null },
          versions: this.versions()
            .filter((entry) => entry.group === group)
            .map(({ version }) => this.#aggregatedVersion(group, version)),
        })),
      },
    };
  }

  #aggregatedVersion(group: string, version: string): Fields {
    const remote = this.#remote().find((entry) => entry.group === group && entry.version === version);
    if (remote !== undefined) {
      return remote.resources === undefined
        ? { version, freshness: "Stale" }
        : {
            version,
            freshness: "Current",
            resources: remote.resources.flatMap((entry) => remoteResource(group, version, entry)),
          };
    }
    const kinds = this.#kinds(group, version).map((kind) => ({
      resource: kind.plural,
      responseKind: { group, version, kind: kind.kind },
      scope: kind.namespaced ? "Namespaced" : "Cluster",
      singularResource: kind.singular,
      verbs: KIND_VERBS,
      ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
      ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
      subresources: subresourcesOf(kind).map((sub) => ({
        subresource: sub.name,
        responseKind: { group: sub.group ?? group, version: sub.version ?? version, kind: sub.kind },
        verbs: sub.verbs,
      })),
    }));
    const asked = this.#reviews(group, version).map((review) => ({
      resource: review.plural,
      responseKind: { group, version, kind: review.kind },
      scope: review.namespaced ? "Namespaced" : "Cluster",
      singularResource: review.kind.toLowerCase(),
      verbs: ["create"],
    }));
    return { version, freshness: "Current", resources: [...kinds, ...asked] };
  }
}

function coreVersions(address: string): Fields {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
  };
}

function subresourcesOf(kind: Kind): Kind["subresources"] {
  const status = { name: "status", kind: kind.kind, verbs: ["get", "patch", "update"] };
  return [...(kind.status ? [status] : []), ...kind.subresources.filter((sub) => sub.verbs.length > 0)];
}

function resourceEntries(kind: Kind): Fields[] {
  return [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: KIND_VERBS,
      ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
      ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    },
    ...subresourcesOf(kind).map((sub) => ({
      name: `${kind.plural}/${sub.name}`,
      singularName: "",
      namespaced: kind.namespaced,
      kind: sub.kind,
      ...(sub.group === undefined ? {} : { group: sub.group, version: sub.version }),
      verbs: sub.verbs,
    })),
  ];
}

function remoteResource(group: string, version: string, entry: Fields): Fields[] {
  const name = String(entry["name"]);
  if (name.includes("/")) return [];
  return [
    {
      resource: name,
      responseKind: { group, version, kind: entry["kind"] },
      scope: entry["namespaced"] === true ? "Namespaced" : "Cluster",
      singularResource: entry["singularName"] ?? "",
      verbs: entry["verbs"],
    },
  ];
}

/** /openapi/v3: the index, with one document a version; those of aggregated APIs are their own servers'. */
export function openApiIndex(discovery: Discovery): Fields {
  const paths: Fields = {};
  for (const { group, version } of discovery.versions()) {
    const path = group === "" ? `api/${version}` : `apis/${group}/${version}`;
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=weft` };
  }
  return { paths };
}

/** /openapi/v3/apis/…: no schemas, but that writes take fieldValidation, so that kubectl leaves validation to the server. */
export function openApiDocument(registry: Registry, group: string, version: string): Fields | undefined {
  const kinds = registry.all().filter((kind) => kind.group === group && kind.version === version);
  if (kinds.length === 0) return undefined;
  const query = (name: string): Fields => ({ name, in: "query", schema: { type: "string", uniqueItems: true } });
  const paths: Fields = {};
  for (const kind of kinds) {
    const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const path = `${root}${kind.namespaced ? "/namespaces/{namespace}" : ""}/${kind.plural}/{name}`;
    paths[path] = {
      patch: {
        operationId: `patch ${kind.kind}`,
        parameters: ["dryRun", "fieldManager", "fieldValidation", "force"].map(query),
        responses: { "200": { description: "OK" } },
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": { group, version, kind: kind.kind },
      },
    };
  }
  return { openapi: "3.0.0", info: { title: "Weft sandbox", version: VERSION.gitVersion }, paths, components: {} };
}

/** /openapi/v2: the same, for older clients. */
export function openApiV2(registry: Registry): Fields {
  const definitions: Fields = {};
  for (const kind of registry.all()) {
    definitions[`${apiVersionOf(kind)}.${kind.kind}`] = {
      type: "object",
      "x-kubernetes-group-version-kind": [{ group: kind.group, version: kind.version, kind: kind.kind }],
    };
  }
  return { swagger: "2.0", info: { title: "Weft sandbox", version: VERSION.gitVersion }, paths: {}, definitions };
}
