/** What the two API groups serve, in the three forms that clients ask for (Kubernetes, "API discovery"). */
import { STATS_GROUP, STATS_VERSION, TAP_GROUP, TAP_VERSION } from "../../model/statistics.ts";

export interface ServedResource {
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

export interface ServedGroup {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ServedResource[];
}

// Streams are no Kubernetes watches, so discovery does not name the verb: programs that watch all they find stay away.
const READ = ["get", "list"];
const stat = (plural: string, kind: string): ServedResource => ({ plural, kind, namespaced: true, verbs: READ });
const tapped = (plural: string, namespaced = true): ServedResource[] => [
  { plural, kind: "Tap", namespaced, verbs: ["watch"] },
  { plural: `${plural}/tap`, kind: "Tap", namespaced, verbs: ["watch"] },
];

export const servedGroups: readonly ServedGroup[] = [
  {
    group: STATS_GROUP,
    version: STATS_VERSION,
    resources: [
      stat("services", "Service"),
      stat("deployments", "Deployment"),
      stat("statefulsets", "StatefulSet"),
      stat("daemonsets", "DaemonSet"),
      stat("pods", "Pod"),
      { plural: "edges", kind: "Edge", namespaced: true, verbs: ["list"] },
    ],
  },
  {
    group: TAP_GROUP,
    version: TAP_VERSION,
    resources: [
      ...tapped("namespaces", false),
      ...[
        "pods",
        "services",
        "deployments",
        "daemonsets",
        "statefulsets",
        "replicasets",
        "replicationcontrollers",
      ].flatMap((plural) => tapped(plural)),
      ...["jobs", "cronjobs"].flatMap((plural) => tapped(plural)),
    ],
  },
];

export function apiGroupList(): Record<string, unknown> {
  return { kind: "APIGroupList", apiVersion: "v1", groups: servedGroups.map(groupFields) };
}

export function apiGroup(served: ServedGroup): Record<string, unknown> {
  return { kind: "APIGroup", apiVersion: "v1", ...groupFields(served) };
}

function groupFields({ group, version }: ServedGroup): Record<string, unknown> {
  const entry = { groupVersion: `${group}/${version}`, version };
  return { name: group, versions: [entry], preferredVersion: entry };
}

export function apiResourceList({ group, version, resources }: ServedGroup): Record<string, unknown> {
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: `${group}/${version}`,
    resources: resources.map(({ plural, kind, namespaced, verbs }) => ({
      name: plural,
      singularName: "",
      namespaced,
      kind,
      verbs,
    })),
  };
}

/** KEP-3352: all of it in one document. */
export const AGGREGATED_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

export function aggregatedDiscovery(): Record<string, unknown> {
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: "apidiscovery.k8s.io/v2",
    metadata: {},
    items: servedGroups.map(({ group, version, resources }) => ({
      metadata: { name: group },
      versions: [
        {
          version,
          freshness: "Current",
          resources: resources
            .filter(({ plural }) => !plural.includes("/"))
            .map((entry) => aggregatedResource(group, version, entry, resources)),
        },
      ],
    })),
  };
}

function aggregatedResource(
  group: string,
  version: string,
  { plural, kind, namespaced, verbs }: ServedResource,
  all: readonly ServedResource[],
): Record<string, unknown> {
  const responseKind = { group, version, kind };
  const subresources = all.filter((other) => other.plural.startsWith(`${plural}/`));
  return {
    resource: plural,
    responseKind,
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: "",
    verbs,
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map((sub) => ({
            subresource: sub.plural.slice(plural.length + 1),
            responseKind,
            verbs: sub.verbs,
          })),
        }),
  };
}
