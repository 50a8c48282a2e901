/** Steady requests over HTTP/2 and gRPC until told to stop. Run as: http2-load.ts '<{url, streams}>', with an IPC channel; ends with a LoadResult. */
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, credentials } from "@grpc/grpc-js";
import type { LoadResult } from "./load.ts";

/** `grpc`: host and port. */
export interface Http2LoadOptions {
  readonly url: string;
  readonly grpc: string;
  /** Requests at once of either kind. */
  readonly streams: number;
}

const options = JSON.parse(process.argv[2] as string) as Http2LoadOptions;
const MAX_FAILURES = 50;
const by: Record<string, number> = {};
const failures: string[] = [];
let answers = 0;
let running = true;
let session: ClientHttp2Session | undefined;

/** A connection that takes requests: a new one once a GOAWAY has come. */
function current(): ClientHttp2Session {
  if (session === undefined || session.closed || session.destroyed) {
    session = connect(options.url);
    session.on("error", () => undefined);
  }
  return session;
}

function note(by_: string, failure: string | undefined): void {
  answers++;
  by[by_] = (by[by_] ?? 0) + 1;
  if (failure !== undefined && failures.length < MAX_FAILURES) failures.push(`${new Date().toISOString()} ${failure}`);
}

/** Not idempotent; sent again only where the other end says that it did nothing. */
function post(): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = current().request({ ":method": "POST", ":path": "/slow?ms=2" });
    let status = 0;
    let from = "";
    let body = "";
    let problem = "";
    stream.on("response", (headers) => {
      status = Number(headers[":status"]);
      from = String(headers["x-app"] ?? headers["l5d-proxy-error"]);
    });
    stream.on("data", (chunk) => {
      body += chunk;
    });
    stream.on("error", (error) => {
      problem = error.message;
    });
    stream.on("close", () => {
      if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
        resolve(false);
        return;
      }
      note(from, status === 200 && body === "slow" ? undefined : `${status} ${from} ${problem} ${stream.rstCode}`);
      resolve(true);
    });
    stream.end("hello");
  });
}

async function posts(): Promise<void> {
  while (running) {
    while (!(await post()));
    await sleep(1);
  }
}

const same = (message: Buffer): Buffer => message;

async function calls(client: Client): Promise<void> {
  while (running) {
    await new Promise<void>((resolve) =>
      client.makeUnaryRequest("/test.Echo/Unary", same, same, Buffer.from("hello"), (error, answer) => {
        const wrong = error === null ? (answer?.toString() === "hello" ? undefined : "another answer") : error.message;
        note("grpc", wrong);
        resolve();
      }),
    );
    await sleep(1);
  }
}

process.on("message", () => {
  running = false;
});
process.send?.("started");
// Its own retries would hide what the proxies lose.
const client = new Client(options.grpc, credentials.createInsecure(), { "grpc.enable_retries": 0 });
await Promise.all(Array.from({ length: options.streams }, () => Promise.all([posts(), calls(client)])));
client.close();
session?.destroy();
const result: LoadResult = { answers, by, failures };
process.send?.(result, () => process.disconnect());
