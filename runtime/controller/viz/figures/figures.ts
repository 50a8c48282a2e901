/** Answers of stats.weft.dev out of the embedded history. */
import type { IdentityScope } from "../../../model/identity.ts";
import {
  type EdgeList,
  STATS_GROUP,
  STATS_VERSION,
  type StatList,
  type StatSource,
} from "../../../model/statistics.ts";
import type { History } from "../history/history.ts";
import type { StatsRequest } from "../stats-request.ts";
import type { Topology } from "../topology.ts";
import { edgesOf } from "./edges.ts";
import { KIND_OF, statOf, WindowView } from "./stats.ts";

const API_VERSION = `${STATS_GROUP}/${STATS_VERSION}` as const;

export interface FiguresOptions {
  readonly topology: Topology;
  readonly history: History;
  readonly scope: IdentityScope;
}

export function answer(options: FiguresOptions, request: StatsRequest): StatList | EdgeList {
  return request.resource === "edges" ? edgeList(options, request) : statList(options, request, request.resource);
}

function statList(
  { topology, history, scope }: FiguresOptions,
  { namespace, name, windowMs, window }: StatsRequest,
  resource: keyof typeof KIND_OF,
): StatList {
  const context = {
    topology,
    history,
    window: new WindowView(history.window(windowMs), (pod) => topology.isRunning(pod)),
    mesh: scope.controlPlaneNamespace,
  };
  const kind = KIND_OF[resource];
  const names = topology.names(kind, namespace).filter((found) => name === undefined || found.name === name);
  const items = names.map((found) => statOf(context, kind, found.namespace, found.name));
  return { kind: "StatList", apiVersion: API_VERSION, window, source: sourceOf(history, context.window), items };
}

function edgeList(
  { topology, history, scope }: FiguresOptions,
  { namespace, windowMs, window }: StatsRequest,
): EdgeList {
  const context = {
    topology,
    history,
    window: new WindowView(history.window(windowMs), (pod) => topology.isRunning(pod)),
    mesh: scope.controlPlaneNamespace,
    scope,
  };
  const items = edgesOf(context, namespace);
  return { kind: "EdgeList", apiVersion: API_VERSION, window, source: sourceOf(history, context.window), items };
}

function sourceOf({ since, startedAt, scrapedAt }: History, looked: WindowView): StatSource {
  // Where no pod was looked at the whole history's newest scrape counts; before the first one, its beginning.
  const newest = looked.scrapedAt ?? scrapedAt ?? since;
  const wallClock = (moment: number): string => new Date(startedAt + Math.round(moment - since)).toISOString();
  return { kind: "embedded", since: wallClock(since), asOf: wallClock(newest) };
}
