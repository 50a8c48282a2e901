/** stats.weft.dev/v1alpha1: one answer, or one each round of scrapes. */
import { type EdgeList, STATS_GROUP, STATS_VERSION, type Stat, type StatList } from "../../model/statistics.ts";
import type { Access } from "./access.ts";
import type { Exchange, Peer } from "./exchange.ts";
import { answer, type FiguresOptions } from "./figures/figures.ts";
import { ALL_NAMESPACES, type Scraper } from "./history/scraper.ts";
import { onlyGet } from "./router.ts";
import { parseStatsRequest, type StatsRequest } from "./stats-request.ts";
import { StatusError } from "./status.ts";
import { edgeTable, statTable } from "./table.ts";

export interface StatsHandlerOptions extends Omit<FiguresOptions, "history"> {
  readonly access: Access;
  /** undefined: another replica scrapes. */
  readonly scraper: () => Scraper | undefined;
  /** Passes the query on to the replica that scrapes. @throws StatusError where there is none */
  readonly elsewhere: (exchange: Exchange) => Promise<void>;
}

export async function handleStats(
  options: StatsHandlerOptions,
  exchange: Exchange,
  segments: readonly string[],
): Promise<void> {
  if (exchange.method !== "GET") throw onlyGet(exchange);
  const request = parseStatsRequest(segments, exchange.url.searchParams, exchange.accept);
  await authorize(options.access, exchange.peer, request);
  const scraper = options.scraper();
  if (scraper === undefined) {
    if (exchange.peer.kind === "replica") {
      throw new StatusError("ServiceUnavailable", "this replica does not scrape (any more): ask again");
    }
    await options.elsewhere(exchange);
    return;
  }
  scraper.watch(request.namespace ?? ALL_NAMESPACES);
  if (request.watch) await stream(options, scraper, exchange, request);
  else exchange.json(200, once(options, scraper, request));
}

async function authorize(access: Access, peer: Peer, { resource, namespace, name, single, watch }: StatsRequest) {
  if (peer.kind === "replica") return;
  if (peer.kind === "anonymous") throw new StatusError("Unauthorized", `who is asking? ${peer.reason}`);
  await access.require(peer.user, {
    verb: watch ? "watch" : single ? "get" : "list",
    group: STATS_GROUP,
    version: STATS_VERSION,
    resource,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  });
}

function once(options: StatsHandlerOptions, { history }: Scraper, request: StatsRequest): unknown {
  const list = answer({ ...options, history }, request);
  if (request.single && list.items.length === 0) {
    throw new StatusError(
      "NotFound",
      `${request.resource}.${STATS_GROUP} "${request.name}" not found in namespace "${request.namespace}"`,
    );
  }
  if (request.table) return tableOf(list);
  const [stat] = list.kind === "StatList" ? list.items : [];
  if (request.single && stat !== undefined) {
    return { ...objectOf(list.apiVersion, stat), window: list.window, source: list.source };
  }
  return withMetadata(list);
}

async function stream(
  options: StatsHandlerOptions,
  scraper: Scraper,
  exchange: Exchange,
  request: StatsRequest,
): Promise<void> {
  exchange.head(200, { "content-type": "application/json;stream=watch" });
  let wake: () => void = () => {};
  const unsubscribe = scraper.onRound(() => wake());
  try {
    while (!exchange.signal.aborted && options.scraper() === scraper) {
      const list = answer({ ...options, history: scraper.history }, request);
      // To kubectl every table is an event that changed all its rows.
      const document = request.table ? { type: "MODIFIED", object: tableOf(list) } : withMetadata(list);
      exchange.write(`${JSON.stringify(document)}\n`);
      // A slow reader gets fewer lists, never older ones.
      await exchange.drained();
      if (exchange.signal.aborted || options.scraper() !== scraper) break;
      await nextRound(exchange.signal, (resolve) => {
        wake = resolve;
      });
      scraper.watch(request.namespace ?? ALL_NAMESPACES);
    }
  } finally {
    unsubscribe();
  }
  // The history has gone to another replica: the client asks again and gets there.
  exchange.end();
}

/** Resolves at the next round, when the scraping ends, or when the client has gone. */
function nextRound(signal: AbortSignal, onWake: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done, { once: true });
    onWake(done);
  });
}

function tableOf(list: StatList | EdgeList): Record<string, unknown> {
  return list.kind === "StatList" ? statTable(list) : edgeTable(list);
}

/** With apiVersion and metadata the items are objects to kubectl (-o name, -o json). */
function withMetadata(list: StatList | EdgeList): unknown {
  if (list.kind === "EdgeList") return { ...list, metadata: {} };
  return { ...list, metadata: {}, items: list.items.map((stat) => objectOf(list.apiVersion, stat)) };
}

function objectOf(apiVersion: string, stat: Stat): Stat & { readonly apiVersion: string; readonly metadata: unknown } {
  return { apiVersion, ...stat, metadata: { name: stat.name, namespace: stat.namespace } };
}
