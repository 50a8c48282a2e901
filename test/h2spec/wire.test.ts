/** The server's role of runtime/wire by itself, on plain sockets: what the relay, and the tap port, stand on. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { internField } from "../../runtime/wire/hpack/intern.ts";
import { ServerConnection } from "../../runtime/wire/http2/server-connection.ts";
import { INITIAL_SETTINGS } from "../../runtime/wire/http2/settings.ts";
import type { Http2Stream } from "../../runtime/wire/http2/stream.ts";
import { buildGo } from "../judges/support/go-programs.ts";
import { judge, runHere } from "./support.ts";

const HEAD = [internField(":status", "200"), internField("content-type", "text/plain")];
const BODY = Buffer.from("hello from the wire\n");

/** Answers when the request is through. */
function answer(stream: Http2Stream): void {
  stream.sendHeaders(HEAD, false);
  let sent = 0;
  const send = (): void => {
    sent += stream.send(BODY, sent, BODY.length, true);
  };
  stream.handler = { ...stream.handler, onWritable: send };
  send();
}

function serve(socket: Socket): void {
  let flushing: NodeJS.Immediate | undefined;
  const flush = (): void => {
    flushing = undefined;
    http2.flush((bytes, start, end) => void socket.write(Buffer.from(bytes.subarray(start, end))));
  };
  const http2 = new ServerConnection({
    settings: { ...INITIAL_SETTINGS, maxConcurrentStreams: 100, maxHeaderListBytes: 65_536 },
    connectionWindow: 1_000_000,
    maxHeaderBlockBytes: 65_536,
    events: {
      onOutput: () => {
        flushing ??= setImmediate(flush);
      },
      onGoAway: () => undefined,
      onPingAck: () => undefined,
      onIdle: () => undefined,
      onSettings: () => undefined,
      onClose: () => {
        clearImmediate(flushing);
        flush();
        socket.destroySoon();
      },
    },
    onRequest: (stream, _fields, endStream) => {
      if (endStream) setImmediate(answer, stream);
      return {
        onInformational: () => undefined,
        onHeaders: () => undefined,
        onData: (_bytes, start, end, ended) => {
          stream.consume(end - start);
          if (ended) answer(stream);
        },
        onTrailers: () => answer(stream),
        onWritable: () => undefined,
        onClose: () => undefined,
      };
    },
  });
  socket.on("data", (bytes: Buffer) => http2.receive(bytes, 0, bytes.length));
  socket.on("error", (error) => http2.close(error));
  socket.on("close", () => {
    clearImmediate(flushing);
    http2.close();
  });
  flush();
}

test("h2spec, the wire", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "weft-h2spec-"));
  const server = createServer(serve);
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    await judge(
      context,
      buildGo("github.com/summerwind/h2spec/cmd/h2spec"),
      { host: "127.0.0.1", port },
      join(folder, "report.xml"),
      runHere,
    );
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
