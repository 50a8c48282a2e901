/** The Services tree: namespaces, their services with golden metrics and mTLS, and of an open one its pods and callers. */
import { CONTROL_PLANE_NAMESPACE } from "../../runtime/model/names.ts";
import type { Edge, EdgeEnd, Stat, StatSource } from "../../runtime/model/statistics.ts";
import { itemContext } from "../contributions.ts";
import {
  formatShare,
  healthOf,
  httpText,
  httpWords,
  mtlsText,
  mtlsWords,
  shortIdentity,
  tcpText,
  tcpWords,
} from "./figures.ts";
import { statTooltip } from "./figures-tooltip.ts";
import type { Row, RowIcon } from "./row.ts";

/** What is known of the services of one namespace that somebody opened. */
export interface NamespaceDetails {
  /** Names of the pods behind each service, by the service's name; undefined: not known yet, or not to be known. */
  readonly endpoints?: ReadonlyMap<string, readonly string[]>;
  /** By pod name. */
  readonly pods?: ReadonlyMap<string, Stat>;
  readonly edges?: readonly Edge[];
  /** Why something of it is missing. */
  readonly problem?: string;
}

export interface ServiceFigures {
  readonly services: readonly Stat[];
  readonly window: string;
  readonly source: StatSource;
  readonly details: ReadonlyMap<string, NamespaceDetails>;
}

/** With more namespaces than these, all of them start closed. */
const OPEN_UP_TO = 12;

/** Kubernetes' and the mesh's own: seldom what somebody came to see. */
export function isSystemNamespace(namespace: string): boolean {
  return namespace.startsWith("kube-") || namespace === "default" || namespace === CONTROL_PLANE_NAMESPACE;
}

export const serviceId = (namespace: string, name: string): string => `service/${namespace}/${name}`;

/** @returns namespace and name of a service's row */
export function parseServiceId(id: string): { namespace: string; name: string } | undefined {
  const [kind, namespace, name, rest] = id.split("/");
  return kind === "service" && namespace !== undefined && name !== undefined && rest === undefined
    ? { namespace, name }
    : undefined;
}

export function serviceRows(figures: ServiceFigures): Row[] {
  const byNamespace = Map.groupBy(figures.services, ({ namespace }) => namespace);
  return [...byNamespace]
    .sort(([a], [b]) => compareNames(a, b))
    .map(([namespace, stats]) => namespaceRow(namespace, stats, figures, byNamespace.size <= OPEN_UP_TO));
}

function namespaceRow(namespace: string, stats: readonly Stat[], figures: ServiceFigures, few: boolean): Row {
  const children = stats
    .toSorted((a, b) => compareNames(a.name, b.name))
    .map((stat) => serviceRow(stat, figures.details.get(namespace), figures));
  const poor = stats.filter(({ http }) => healthOf(http) === "poor").length;
  const services = `${stats.length} ${stats.length === 1 ? "service" : "services"}`;
  const words = [services, poor === 0 ? "" : `${poor} failing`].filter(Boolean).join(", ");
  return {
    id: `namespace/${namespace}`,
    label: namespace,
    description: words,
    icon: "namespace",
    context: itemContext.namespace,
    accessible: `Namespace ${namespace}, ${words}`,
    subject: { kind: "Namespace", namespace, name: namespace },
    children,
    // Decided at its first appearance, when its pods may not have come up yet: not by what is meshed.
    expanded: few && !isSystemNamespace(namespace),
  };
}

function serviceRow(stat: Stat, details: NamespaceDetails | undefined, figures: ServiceFigures): Row {
  const { namespace, name } = stat;
  const id = serviceId(namespace, name);
  return {
    ...figureLook(stat),
    id,
    label: name,
    context: itemContext.service,
    accessible: `Service ${name}, ${words(stat)}`,
    tooltip: () => statTooltip(`Service ${name}`, stat, figures.window, figures.source),
    subject: { kind: "Service", namespace, name },
    children: serviceChildren(id, stat, details, figures),
  };
}

/** Description, icon and colour of anything with figures. */
function figureLook(
  stat: Pick<Stat, "http" | "tcp" | "mtls" | "noData">,
): Pick<Row, "icon" | "description" | "health"> {
  const health = healthOf(stat.http);
  return {
    icon: `mtls-${stat.mtls.state}`,
    description: figureText(stat),
    ...(health === "poor" || health === "warning" ? { health } : {}),
  };
}

function figureText({ http, tcp, mtls, noData }: Pick<Stat, "http" | "tcp" | "mtls" | "noData">): string {
  if (http === undefined && tcp === undefined) return noData ?? mtls.reason ?? "no data";
  const parts = [
    ...(http === undefined ? [] : [httpText(http)]),
    ...(tcp === undefined || http !== undefined ? [] : [tcpText(tcp)]),
    mtlsText(mtls),
  ];
  return parts.filter(Boolean).join(" · ");
}

function words({ http, tcp, mtls, noData }: Pick<Stat, "http" | "tcp" | "mtls" | "noData">): string {
  if (http === undefined && tcp === undefined) return `no data: ${noData ?? "no reason given"}, ${mtlsWords(mtls)}`;
  return [http === undefined ? "" : httpWords(http), tcp === undefined ? "" : tcpWords(tcp), mtlsWords(mtls)]
    .filter(Boolean)
    .join(", ");
}

function serviceChildren(
  id: string,
  stat: Stat,
  details: NamespaceDetails | undefined,
  figures: ServiceFigures,
): readonly Row[] {
  // Nobody has opened it yet: one row keeps the twistie there until figures of its inside have come.
  if (details === undefined)
    return [{ id: `${id}/loading`, label: "Waiting for figures…", icon: "loading", accessible: "Waiting for figures" }];
  const pods = podsGroup(id, stat, details, figures);
  const callers = callersGroup(id, stat, details, figures);
  const problem: Row[] =
    details.problem === undefined
      ? []
      : [{ id: `${id}/problem`, label: details.problem, icon: "info", accessible: details.problem }];
  return [pods, callers, ...problem];
}

function podsGroup(id: string, stat: Stat, details: NamespaceDetails, figures: ServiceFigures): Row {
  const names = details.endpoints?.get(stat.name) ?? [];
  const children = names.toSorted(compareNames).map((name) => podRow(id, name, details.pods?.get(name), stat, figures));
  const meshed = `${stat.meshedPods} of ${stat.totalPods} meshed`;
  return {
    id: `${id}/pods`,
    label: "Pods",
    description: meshed,
    icon: "pods",
    accessible: `Pods, ${meshed}`,
    children:
      details.endpoints === undefined
        ? [
            {
              id: `${id}/pods/loading`,
              label: "Waiting for endpoints…",
              icon: "loading",
              accessible: "Waiting for endpoints",
            },
          ]
        : children.length === 0
          ? [
              {
                id: `${id}/pods/none`,
                label: "No pod is behind this service",
                icon: "info",
                accessible: "No pod is behind this service",
              },
            ]
          : children,
    expanded: true,
  };
}

function podRow(id: string, name: string, pod: Stat | undefined, service: Stat, figures: ServiceFigures): Row {
  const subject = { kind: "Pod", namespace: service.namespace, name } as const;
  const common = { id: `${id}/pod/${name}`, label: name, context: itemContext.pod, subject };
  if (pod === undefined)
    return {
      ...common,
      icon: "pod-unmeshed",
      description: "no figures yet",
      accessible: `Pod ${name}, no figures yet`,
    };
  const meshed = pod.meshedPods > 0;
  return {
    ...common,
    ...figureLook(pod),
    icon: meshed ? "pod-meshed" : "pod-unmeshed",
    accessible: `Pod ${name}, ${meshed ? "meshed" : "not meshed"}, ${words(pod)}`,
    tooltip: () => statTooltip(`Pod ${name}`, pod, figures.window, figures.source),
  };
}

function callersGroup(id: string, stat: Stat, details: NamespaceDetails, figures: ServiceFigures): Row {
  const edges = (details.edges ?? []).filter(
    ({ destination }) =>
      destination.kind === "Service" && destination.namespace === stat.namespace && destination.name === stat.name,
  );
  const children = edges
    .toSorted((a, b) => compareNames(endName(a.source), endName(b.source)))
    .map((edge) => callerRow(id, edge, figures));
  const count = `${children.length} in the last ${figures.window}`;
  const nobody = `Nobody in the last ${figures.window}`;
  return {
    id: `${id}/callers`,
    label: "Called by",
    description: count,
    icon: "callers",
    accessible: `Called by ${count}`,
    children:
      details.edges === undefined
        ? [
            {
              id: `${id}/callers/loading`,
              label: "Waiting for callers…",
              icon: "loading",
              accessible: "Waiting for callers",
            },
          ]
        : children.length === 0
          ? [{ id: `${id}/callers/none`, label: nobody, icon: "info", accessible: nobody }]
          : children,
    expanded: true,
  };
}

function endName({ kind, namespace, name }: EdgeEnd): string {
  return `${namespace}/${name}/${kind}`;
}

function callerRow(id: string, edge: Edge, figures: ServiceFigures): Row {
  const { source, destination } = edge;
  const caller = `${id}/caller/${endName(source)}/${source.identity ?? ""}`;
  const elsewhere = source.namespace !== "" && source.namespace !== destination.namespace;
  const label = elsewhere ? `${source.name} (${source.namespace})` : source.name;
  const identities = `${identityWords(source)} → ${identityWords(destination)}`;
  return {
    ...figureLook(edge),
    id: caller,
    label,
    context: itemContext.caller,
    accessible: `Called by ${source.kind} ${label}, ${words(edge)}, identities ${identities}`,
    tooltip: () =>
      statTooltip(
        `${label} → ${destination.name}`,
        { ...edge, identities: [source, destination] },
        figures.window,
        figures.source,
      ),
    children: [identityRow(caller, "client", source), identityRow(caller, "server", destination)],
    expanded: true,
  };
}

function identityWords({ identity }: EdgeEnd): string {
  return identity === undefined ? "no identity" : shortIdentity(identity);
}

function identityRow(parent: string, side: "client" | "server", end: EdgeEnd): Row {
  const label = side === "client" ? "Client" : "Server";
  const icon: RowIcon = end.identity === undefined ? "mtls-none" : "identity";
  const description = end.identity ?? "none shown: not by mTLS";
  return {
    id: `${parent}/${side}`,
    label,
    description,
    icon,
    accessible: `${label} identity ${description}`,
    ...(end.identity === undefined
      ? {}
      : {
          context: itemContext.identity,
          subject: { kind: "Identity", namespace: end.namespace, name: end.identity } as const,
          tooltip: () => `\`${end.identity}\``,
        }),
  };
}

/** The share of services in good health, for the badge: how many need a look. */
export function failingServices(services: readonly Stat[]): string[] {
  return services
    .filter(({ http }) => healthOf(http) === "poor")
    .map(({ namespace, name, http }) => `${namespace}/${name} (${formatShare(http?.successRate ?? 0)})`);
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
