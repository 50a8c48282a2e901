/** The application behind a proxy, in its own process. Run as: application.ts '<ApplicationOptions>', with an IPC channel. */
import { createHash } from "node:crypto";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Socket } from "node:net";

export interface ApplicationOptions {
  /** Told in every answer. */
  readonly name: string;
  readonly http: number;
  /** Answers whatever the address in the request says it should: see {@link answerRaw}. */
  readonly raw: number;
  /** Greets before it hears anything, then echoes until the client half-closes, then says goodbye. */
  readonly greeter: readonly number[];
  readonly http2: number;
}

const options = JSON.parse(process.argv[2] as string) as ApplicationOptions;

let terminating = false;

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://app");
  response.setHeader("x-app", options.name);
  if (terminating) response.setHeader("connection", "close");
  switch (url.pathname) {
    case "/echo": {
      const hash = createHash("sha256");
      let length = 0;
      request.on("data", (chunk: Buffer) => {
        length += chunk.length;
        hash.update(chunk);
      });
      request.on("end", () =>
        response.end(
          JSON.stringify({ length, sha256: hash.digest("hex"), headers: request.headers, method: request.method }),
        ),
      );
      return;
    }
    case "/bytes": {
      let left = Number(url.searchParams.get("n"));
      const chunk = Buffer.alloc(65_536, "x");
      if (url.searchParams.has("length")) response.setHeader("content-length", left);
      const more = (): void => {
        while (left > 0) {
          const size = Math.min(left, chunk.length);
          left -= size;
          if (!response.write(chunk.subarray(0, size))) {
            response.once("drain", more);
            return;
          }
        }
        response.end();
      };
      more();
      return;
    }
    case "/status":
      response.statusCode = Number(url.searchParams.get("code"));
      response.end(response.statusCode === 204 || response.statusCode === 304 ? undefined : "status");
      return;
    case "/early-hints":
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      response.end("after hints");
      return;
    case "/slow":
      setTimeout(() => response.end("slow"), Number(url.searchParams.get("ms")));
      return;
    default:
      response.end(`hello from ${options.name}\n`);
  }
}

/** Sends the base64 text in the target's query as it stands, then ends as the path says: /end, /reset or /stay. */
function answerRaw(socket: Socket): void {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    const match = /^\w+ \/(end|reset|stay)\?([^ ]*) /.exec(text);
    if (match === null || !text.includes("\r\n\r\n")) return;
    text = "";
    socket.write(Buffer.from(decodeURIComponent(match[2] as string), "base64"), () => {
      // What was written must be on its way first.
      if (match[1] === "reset") setTimeout(() => socket.resetAndDestroy(), 50);
      else if (match[1] === "end") socket.end();
    });
  });
  socket.on("error", () => undefined);
}

function greet(socket: Socket): void {
  socket.write("220 hello\r\n");
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("end", () => socket.end("bye\r\n"));
  socket.on("error", () => undefined);
}

const http = createHttpServer(answer);
http.keepAliveTimeout = 60_000;
/** A WebSocket server as far as a proxy can tell: 101, then bytes both ways. */
http.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\nwelcome`,
  );
  if (head.length > 0) socket.write(head);
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("end", () => socket.end());
  socket.on("error", () => undefined);
});
const http2 = createHttp2Server();
http2.on("stream", (stream) => {
  stream.respond({ ":status": 200, "x-app": options.name });
  stream.end("hello over HTTP/2\n");
});

const listening = [
  new Promise<void>((resolve) => http.listen(options.http, "0.0.0.0", resolve)),
  new Promise<void>((resolve) =>
    createServer({ allowHalfOpen: true }, answerRaw).listen(options.raw, "0.0.0.0", resolve),
  ),
  new Promise<void>((resolve) => http2.listen(options.http2, "0.0.0.0", resolve)),
  ...options.greeter.map(
    (port) =>
      new Promise<void>((resolve) => createServer({ allowHalfOpen: true }, greet).listen(port, "0.0.0.0", resolve)),
  ),
];
/** As a well-behaved server on SIGTERM: lets its connections go while it still answers, then accepts no more and exits. */
process.on("message", (command) => {
  if (command !== "terminate") return;
  terminating = true;
  setTimeout(() => http.close(() => process.exit(0)), 300);
});
await Promise.all(listening);
process.send?.("listening");
