/** Golden metrics from stats.weft.dev, once or live. */
import { setTimeout as sleep } from "node:timers/promises";
import { readError } from "../kube/client.ts";
import { readLines } from "../kube/lines.ts";
import type { KubeClient, KubeRequest } from "../kube/types.ts";
import { formatDuration } from "../model/duration.ts";
import {
  type EdgeList,
  MAX_WINDOW_MS,
  MIN_WINDOW_MS,
  STATS_GROUP,
  STATS_VERSION,
  type StatList,
  type StatResource,
} from "../model/statistics.ts";
import { explainAggregated } from "./aggregated.ts";
import { MeshError } from "./errors.ts";
import type { StatQuery } from "./types.ts";

/** A stream that the server ended in good order is taken up again after this long at the earliest. */
const RESUME_PAUSE_MS = 1_000;

/** @throws MeshError where the mesh is absent, its API is down or the user may not look */
export async function getStats(client: KubeClient, query: StatQuery, signal?: AbortSignal): Promise<StatList> {
  return await getFigures<StatList>(client, query.resource, query, signal);
}

/** A list each time a scrape has ended, until `signal` aborts. @throws as {@link getStats} */
export async function* watchStats(client: KubeClient, query: StatQuery, signal: AbortSignal): AsyncGenerator<StatList> {
  const request = requestFor(query.resource, query, signal, true);
  while (!signal.aborted) {
    try {
      const stream = await client.transport.open(request);
      if (stream.status >= 400) throw await readError(request, stream);
      try {
        for await (const line of readLines(stream.body)) yield JSON.parse(line) as StatList;
      } finally {
        stream.close();
      }
      await sleep(RESUME_PAUSE_MS, undefined, { signal });
    } catch (error) {
      if (signal.aborted) return;
      throw explain(error, query.resource);
    }
  }
}

export async function getFigures<T extends StatList | EdgeList>(
  client: KubeClient,
  resource: StatResource | "edges",
  query: Pick<StatQuery, "namespace" | "windowMs">,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await client.json<T>(requestFor(resource, query, signal, false));
  } catch (error) {
    throw explain(error, resource);
  }
}

function requestFor(
  resource: StatResource | "edges",
  query: Pick<StatQuery, "namespace" | "windowMs">,
  signal: AbortSignal | undefined,
  watch: boolean,
): KubeRequest {
  const { namespace, windowMs } = query;
  if (windowMs < MIN_WINDOW_MS || windowMs > MAX_WINDOW_MS) {
    const range = `${formatDuration(MIN_WINDOW_MS)} to ${formatDuration(MAX_WINDOW_MS)}`;
    throw new MeshError(`a window of ${formatDuration(windowMs)} is not kept`, `Choose ${range}.`);
  }
  const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return {
    method: "GET",
    path: `/apis/${STATS_GROUP}/${STATS_VERSION}${scope}/${resource}`,
    query: { window: formatDuration(windowMs), ...(watch ? { watch: true } : {}) },
    ...(signal === undefined ? {} : { signal }),
  };
}

function explain(error: unknown, resource: string): unknown {
  return explainAggregated(
    error,
    `statistics of ${resource}`,
    `get, list and watch on ${resource}.${STATS_GROUP} (ClusterRole view brings them)`,
  );
}
