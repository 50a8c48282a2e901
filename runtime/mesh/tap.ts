/** Live requests through tap.linkerd.io/v1alpha1 (reference 8.5): POST a query, read a stream of framed events. */
import { TapByResourceRequest, type TapByResourceRequest_Match, TapEvent } from "../api/gen/viz_tap.ts";
import { readError } from "../kube/client.ts";
import type { KubeClient, KubeRequest } from "../kube/types.ts";
import { TAP_GROUP, TAP_NOTICE_LABEL, TAP_VERSION } from "../model/statistics.ts";
import { explainAggregated } from "./aggregated.ts";
import { MeshError } from "./errors.ts";
import { TapRecords } from "./tap-records.ts";
import type { TapQuery, TapRecord } from "./types.ts";

/** Bigger than any event a proxy makes: its heads are limited to 64 KiB. */
const MAX_FRAME_BYTES = 1024 * 1024;

/**
 * Records as they complete, until `signal` aborts or the controller ends the stream.
 * @param onNotice told of what concerns the tap itself, in words: events that were dropped, a pod that cannot be tapped
 * @throws MeshError where the mesh is absent, its API is down or the user may not tap
 */
export async function* tap(
  client: KubeClient,
  query: TapQuery,
  signal: AbortSignal,
  onNotice?: (text: string) => void,
): AsyncGenerator<TapRecord> {
  const request: KubeRequest = {
    method: "POST",
    path: tapPath(query),
    // Refusals come as a Status to whom takes JSON; Linkerd's clients get them in a form of their own.
    headers: { accept: "application/octet-stream, application/json", "content-type": "application/octet-stream" },
    body: TapByResourceRequest.encode(tapRequest(query)).finish(),
    signal,
  };
  const records = new TapRecords();
  try {
    const stream = await client.transport.open(request);
    if (stream.status >= 400) throw await readError(request, stream);
    try {
      for await (const frame of readFrames(stream.body)) {
        const event = TapEvent.decode(frame);
        const notice = event.sourceMeta?.labels[TAP_NOTICE_LABEL];
        if (notice !== undefined) onNotice?.(notice);
        const record = records.add(event);
        if (record !== undefined) yield record;
      }
    } finally {
      stream.close();
    }
  } catch (error) {
    if (signal.aborted) return;
    const permission = `watch on ${query.kind}.${TAP_GROUP} (subresource tap) in namespace ${query.namespace}`;
    throw explainAggregated(error, `live requests of ${query.kind}/${query.name}`, permission);
  }
}

function tapPath({ namespace, kind, name }: TapQuery): string {
  const scope = `/apis/${TAP_GROUP}/${TAP_VERSION}/watch/namespaces/${encodeURIComponent(namespace)}`;
  return kind === "namespaces" ? `${scope}/tap` : `${scope}/${kind}/${encodeURIComponent(name)}/tap`;
}

export function tapRequest(query: TapQuery): TapByResourceRequest {
  const matches: TapByResourceRequest_Match[] = [];
  const http = (match: { $case: "method" | "path" | "authority"; value: string }) =>
    matches.push({ match: { $case: "http", value: { match } } });
  if (query.method !== undefined) http({ $case: "method", value: query.method });
  if (query.pathPrefix !== undefined) http({ $case: "path", value: query.pathPrefix });
  if (query.authority !== undefined) http({ $case: "authority", value: query.authority });
  const whole = query.kind === "namespaces";
  return {
    target: {
      resource: {
        namespace: whole ? "" : query.namespace,
        type: query.kind.slice(0, -1),
        name: whole ? query.namespace : query.name,
      },
      labelSelector: "",
    },
    match: matches.length === 0 ? undefined : { match: { $case: "all", value: { matches } } },
    maxRps: query.maxRps,
    extract:
      query.headers === true
        ? { extract: { $case: "http", value: { extract: { $case: "headers", value: {} } } } }
        : undefined,
  };
}

/** Frames of [uint32 little-endian length][message], split anywhere. */
export async function* readFrames(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pending = Buffer.alloc(0);
  for await (const chunk of body) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    let offset = 0;
    while (pending.length - offset >= 4) {
      const length = pending.readUInt32LE(offset);
      if (length > MAX_FRAME_BYTES) {
        throw new MeshError(`the tap stream announces a frame of ${length} bytes`, "Compare the versions: weft check.");
      }
      if (pending.length - offset - 4 < length) break;
      yield pending.subarray(offset + 4, offset + 4 + length);
      offset += 4 + length;
    }
    pending = pending.subarray(offset);
  }
}
