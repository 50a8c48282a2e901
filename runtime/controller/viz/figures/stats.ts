/** Figures of services and workloads: the inbound series of the pods behind them. */
import type { Stat, StatResource } from "../../../model/statistics.ts";
import type { History, SharedWindow } from "../history/history.ts";
import type { PodHistory, PodWindow } from "../history/pod-history.ts";
import { isLive, keyOf, type PodView } from "../pod-view.ts";
import type { Member, Topology } from "../topology.ts";
import { Tally } from "./tally.ts";

export const KIND_OF: Readonly<Record<StatResource, Stat["kind"]>> = {
  services: "Service",
  deployments: "Deployment",
  statefulsets: "StatefulSet",
  daemonsets: "DaemonSet",
  pods: "Pod",
};

/** The window of one answer: each pod's log is read once, however many resources it is behind. */
export class WindowView {
  /** The newest scrape of the pods that were looked at. */
  scrapedAt: number | undefined;

  readonly #shared: SharedWindow;
  readonly #isRunning: (pod: string) => boolean;

  constructor(shared: SharedWindow, isRunning: (pod: string) => boolean) {
    this.#shared = shared;
    this.#isRunning = isRunning;
  }

  of(pod: PodHistory): PodWindow {
    if (pod.scrapedAt !== undefined) this.scrapedAt = Math.max(pod.scrapedAt, this.scrapedAt ?? pod.scrapedAt);
    const { start, pods } = this.#shared;
    let window = pods.get(pod);
    if (window === undefined) {
      window = pod.window(start, this.#isRunning(keyOf(pod.namespace, pod.name)));
      pods.set(pod, window);
    }
    return window;
  }
}

export interface StatContext {
  readonly topology: Topology;
  readonly history: History;
  readonly window: WindowView;
  /** Control-plane namespace: whose proxies count as meshed. */
  readonly mesh: string;
}

export function statOf(context: StatContext, kind: Stat["kind"], namespace: string, name: string): Stat {
  const members = allMembers(context, kind, namespace, name);
  const live = members.flatMap(({ pod }) => (pod !== undefined && isLive(pod) ? [pod] : []));
  const meshed = live.filter((pod) => pod.mesh === context.mesh);
  const tally = new Tally();
  for (const { key, ports } of members) {
    const pod = context.history.get(key);
    if (pod === undefined) continue;
    const window = context.window.of(pod);
    tally.cover(window);
    for (const series of window.series) {
      if (countsInbound(series.key, pod, ports)) tally.add(window, series);
    }
  }
  const http = tally.http();
  const tcp = tally.tcp();
  const reason = whyNothing(context, members, live, meshed, tally);
  return {
    kind,
    namespace,
    name,
    meshedPods: meshed.filter(({ proxyReady }) => proxyReady).length,
    totalPods: live.length,
    ...(http === undefined ? {} : { http }),
    ...(tcp === undefined ? {} : { tcp }),
    mtls: tally.mtls(reason),
    ...(http === undefined && tcp === undefined ? { noData: reason } : {}),
  };
}

/** Pods behind the resource now, and those that were when they ended. */
export function allMembers(
  { topology, history }: Pick<StatContext, "topology" | "history">,
  kind: string,
  namespace: string,
  name: string,
): Member[] {
  const members = topology.members(kind, namespace, name);
  if (kind === "Service" || kind === "Pod") return members;
  const present = new Set(members.map(({ key }) => key));
  for (const key of history.ofWorkload(kind, namespace, name)) {
    if (!present.has(key)) members.push({ key, pod: undefined, ports: undefined });
  }
  return members;
}

/** @param ports of the service; undefined: all of them */
export function countsInbound(
  key: { readonly protocol: string; readonly direction: string; readonly port: string },
  pod: PodHistory,
  ports: ReadonlySet<string> | undefined,
): boolean {
  if (key.direction !== "inbound" || (ports !== undefined && !ports.has(key.port))) return false;
  // Connections that carry HTTP are counted by their requests.
  return key.protocol === "http" || !pod.httpPorts.has(key.port);
}

function whyNothing(
  { history }: StatContext,
  members: readonly Member[],
  live: readonly PodView[],
  meshed: readonly PodView[],
  tally: Tally,
): string {
  if (members.length === 0) return "no pods";
  if (live.length > 0 && meshed.length === 0) return "no meshed pods";
  if (tally.covered) return "no traffic in the window";
  for (const { key } of members) {
    const failure = history.get(key)?.failure;
    if (failure !== undefined) return `${key} cannot be scraped: ${failure}`;
  }
  return "no scrape yet";
}
