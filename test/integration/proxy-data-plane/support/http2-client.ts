/** One scenario of an HTTP/2 client, in a pod. Run as: http2-client.ts '<Scenario>'; prints what came of it, as JSON. */
import { createHash } from "node:crypto";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";

export interface Scenario {
  readonly url: string;
  /** `{":path": "/…", …}` */
  readonly headers: Readonly<Record<string, string | number>>;
  /** Bytes of the request's body; -1: it never ends. */
  readonly upload?: number;
  /** Requests like it, all at once. */
  readonly times?: number;
  /** Between reads of the answer. */
  readonly pauseMs?: number;
  /** Gives up so long after the request. */
  readonly cancelAfterMs?: number;
  readonly cancelCode?: number;
}

export interface Outcome {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly length: number;
  /** The first of it. */
  readonly body: string;
  /** The server has said all. */
  readonly whole: boolean;
  /** Code of RST_STREAM; 0: none, or NO_ERROR. */
  readonly code: number;
  readonly ms: number;
}

/** `bytes` that no repetition could fake. */
export function content(bytes: number): Buffer {
  return createHash("shake256", { outputLength: bytes }).update("upload").digest();
}

const scenario = JSON.parse(process.argv[2] ?? "null") as Scenario | null;

async function read(stream: ClientHttp2Stream, pauseMs: number): Promise<{ length: number; body: string }> {
  let length = 0;
  let body = "";
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (length < 1_000) body += chunk.toString();
    length += chunk.length;
    if (pauseMs > 0) await sleep(pauseMs);
  }
  return { length, body };
}

function once(session: ClientHttp2Session, wanted: Scenario): Promise<Outcome> {
  const began = performance.now();
  const { headers, upload = 0, pauseMs = 0 } = wanted;
  const stream = session.request(headers, { endStream: upload === 0 });
  let status = 0;
  let got: Outcome["headers"] = {};
  let trailers: Outcome["trailers"] = {};
  let whole = false;
  let code = 0;
  stream.on("response", (fields) => {
    status = Number(fields[":status"]);
    got = fields;
  });
  stream.on("trailers", (fields) => {
    trailers = fields;
  });
  stream.on("end", () => {
    whole = true;
  });
  stream.on("error", () => undefined);
  if (upload > 0) stream.end(content(upload));
  else if (upload < 0) stream.write("begun");
  if (wanted.cancelAfterMs !== undefined) setTimeout(() => stream.close(wanted.cancelCode ?? 8), wanted.cancelAfterMs);
  const reading = read(stream, pauseMs).catch(() => ({ length: -1, body: "" }));
  return new Promise((resolve) => {
    stream.on("close", async () => {
      code = stream.rstCode ?? 0;
      const ms = performance.now() - began;
      resolve({ status, headers: got, trailers, ...(await reading), whole, code, ms });
    });
  });
}

if (scenario !== null) {
  const session = connect(scenario.url);
  session.on("error", () => undefined);
  const outcomes = await Promise.all(Array.from({ length: scenario.times ?? 1 }, () => once(session, scenario)));
  session.destroy();
  console.log(JSON.stringify(outcomes));
}
