/** The applications that are no nginx: echoes over HTTP/1, HTTP/2 (with trailers, as gRPC has them) and TCP. Run with an IPC channel; says `listening`. */
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import { pipeline } from "node:stream";
import { ORIGIN_PORT } from "./ports.ts";

process.on("disconnect", () => process.exit(0));
/** Peers that give up are what the load is for. */
const givenUp = (): void => undefined;

const http1 = createServer((request, response) => {
  const length = request.headers["content-length"];
  response.writeHead(200, length === undefined ? {} : { "content-length": length });
  pipeline(request, response, givenUp);
});
// A connection that only the proxy's pool would end.
http1.keepAliveTimeout = 0;

// Node charges a session's memory for uploads that were given up, and never takes it back: after some 650 the session dies, with or
// without proxies.
const http2 = createHttp2Server({ maxSessionMemory: 100_000 });
http2.on("sessionError", givenUp);
http2.on("stream", (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  pipeline(stream, stream, givenUp);
});

const tcp = createTcpServer({ allowHalfOpen: true }, (socket) => {
  socket.setNoDelay(true);
  pipeline(socket, socket, givenUp);
});

let waiting = 3;
for (const [server, port] of [
  [http1, ORIGIN_PORT.echo1],
  [http2, ORIGIN_PORT.echo2],
  [tcp, ORIGIN_PORT.tcp],
] as const)
  server.listen(port, "0.0.0.0", () => {
    if (--waiting === 0) process.send?.("listening");
  });
