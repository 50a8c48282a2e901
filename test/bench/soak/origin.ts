/** Echoes over HTTP/1 and TCP. Run with an IPC channel; says `listening`. */
import { createServer } from "node:http";
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

const tcp = createTcpServer({ allowHalfOpen: true }, (socket) => {
  socket.setNoDelay(true);
  pipeline(socket, socket, givenUp);
});

let waiting = 2;
for (const [server, port] of [
  [http1, ORIGIN_PORT.echo1],
  [tcp, ORIGIN_PORT.tcp],
] as const)
  server.listen(port, "0.0.0.0", () => {
    if (--waiting === 0) process.send?.("listening");
  });
