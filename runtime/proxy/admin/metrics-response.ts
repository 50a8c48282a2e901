/** Answers /metrics without holding the loop: the text is made in slices, and between them others have their turn. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import type { MetricsRegistry } from "../metrics/registry.ts";

/** How long text is made before the loop goes on with what else there is, milliseconds. */
const TURN_MS = 1;

/** `?families=a,b`: those alone, for a scraper that needs a few of many. `Accept-Encoding: gzip` is obeyed. */
export async function writeMetrics(
  metrics: MetricsRegistry,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const families = query.get("families");
  const wanted = families === null ? undefined : new Set(families.split(",").map((name) => name.trim()));
  const zipped = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(String(request.headers["accept-encoding"] ?? ""));
  response.writeHead(200, {
    "content-type": "text/plain; version=0.0.4; charset=utf-8",
    ...(zipped ? { "content-encoding": "gzip" } : {}),
  });
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  const output = zipped ? await zippedInto(response) : response;
  let turnEnds = performance.now() + TURN_MS;
  for (const slice of metrics.render(wanted)) {
    // A socket that takes all at once drains within the same turn of the loop.
    if (!output.write(slice)) await drained(output, response);
    if (response.destroyed) return;
    if (performance.now() < turnEnds) continue;
    await nextTurn();
    turnEnds = performance.now() + TURN_MS;
  }
  output.end();
}

async function zippedInto(response: ServerResponse): Promise<Writable> {
  const { createGzip, constants } = await import("node:zlib");
  // Small windows: the text repeats itself within a line or two, and the memory is this proxy's.
  const gzip = createGzip({ level: 1, memLevel: 5, windowBits: 12, flush: constants.Z_NO_FLUSH });
  gzip.pipe(response);
  response.once("close", () => gzip.destroy());
  return gzip;
}

/** Ends also when the other side has gone. */
function drained(output: Writable, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      output.off("drain", done);
      response.off("close", done);
      resolve();
    };
    output.once("drain", done);
    response.once("close", done);
  });
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
