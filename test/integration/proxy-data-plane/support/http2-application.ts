/** An application of HTTP/2, and one of gRPC on the port after it. Run as: http2-application.ts '<port>', with an IPC channel. */
import { createHash } from "node:crypto";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { type handleBidiStreamingCall, type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";

const port = Number(JSON.parse(process.argv[2] as string));
/** Codes with which clients ended requests to /never. */
const cancels: number[] = [];
const sessions = new Set<ServerHttp2Session>();

async function echo(stream: ServerHttp2Stream, pauseMs: number): Promise<void> {
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    hash.update(chunk);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  stream.respond({ ":status": 200 }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-length": String(length) }));
  stream.end(hash.digest("hex"));
}

function bytes(stream: ServerHttp2Stream, count: number): void {
  stream.respond({ ":status": 200 });
  const chunk = Buffer.alloc(65_536, "x");
  let left = count;
  const more = (): void => {
    while (left > 0) {
      const size = Math.min(left, chunk.length);
      left -= size;
      if (!stream.write(chunk.subarray(0, size))) {
        stream.once("drain", more);
        return;
      }
    }
    stream.end();
  };
  more();
}

function answer(stream: ServerHttp2Stream, target: string): void {
  const url = new URL(target, "http://app");
  const number = (name: string): number => Number(url.searchParams.get(name));
  stream.on("error", () => undefined);
  switch (url.pathname) {
    case "/echo":
      echo(stream, number("pause")).catch(() => undefined);
      return;
    case "/bytes":
      bytes(stream, number("n"));
      return;
    case "/slow":
      stream.resume();
      setTimeout(() => {
        if (stream.closed) return;
        stream.respond({ ":status": 200, "x-app": String(process.pid) });
        stream.end("slow");
      }, number("ms"));
      return;
    case "/never":
      stream.on("close", () => cancels.push(stream.rstCode));
      return;
    case "/cancels":
      stream.respond({ ":status": 200 });
      stream.end(JSON.stringify(cancels));
      return;
    case "/reset":
      if (url.searchParams.has("begun")) {
        stream.respond({ ":status": 200 });
        stream.write("begun");
      }
      // Once begun, Node ends what it closes, unless it is for an error: INTERNAL_ERROR then.
      setTimeout(
        () => (url.searchParams.has("begun") ? stream.destroy(new Error("as asked")) : stream.close(number("code"))),
        50,
      );
      return;
    case "/enough":
      // Answers, and wants no more of what it is sent.
      stream.respond({ ":status": 413 });
      stream.end("enough", () => stream.close(0));
      return;
    default:
      stream.respond({ ":status": 404 });
      stream.end();
  }
}

const http2 = createServer({ settings: { maxConcurrentStreams: 5_000 } });
http2.on("stream", (stream, headers) => answer(stream, headers[":path"] ?? "/"));
http2.on("session", (session) => {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
});

const same = (message: Buffer): Buffer => message;
const method = (name: string, streams: boolean): object => ({
  path: `/test.Echo/${name}`,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const unary: handleUnaryCall<Buffer, Buffer> = (call, done) => {
  setTimeout(() => done(null, call.request), 2);
};
const fail: handleUnaryCall<Buffer, Buffer> = (call, done) => done({ code: Number(call.request), details: "as asked" });
const stream: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on("data", (message: Buffer) => call.write(message));
  call.on("end", () => call.end());
  call.on("error", () => undefined);
};
const grpc = new Server();
grpc.addService(
  // grpc-js's own type of definitions asks for names known at compile time.
  { Unary: method("Unary", false), Fail: method("Fail", false), Stream: method("Stream", true) } as never,
  { Unary: unary, Fail: fail, Stream: stream } as never,
);

process.on("message", (command) => {
  if (command === "vanish") process.kill(process.pid, "SIGKILL");
  if (command !== "terminate") return;
  // As a well-behaved server: GOAWAY, and what is under way is answered.
  for (const session of sessions) session.close();
  grpc.tryShutdown(() => undefined);
  http2.close(() => process.exit(0));
});
await new Promise<void>((resolve) => http2.listen(port, "0.0.0.0", resolve));
await new Promise<void>((resolve, reject) =>
  grpc.bindAsync(`0.0.0.0:${port + 1}`, ServerCredentials.createInsecure(), (error) =>
    error === null ? resolve() : reject(error),
  ),
);
process.send?.("listening");
