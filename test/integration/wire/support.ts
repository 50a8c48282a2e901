/** Client connections and channels over real sockets. */
import { connect } from "node:net";
import { dialControl } from "../../../runtime/proxy/control/dial.ts";
import { Replicas } from "../../../runtime/proxy/control/replicas.ts";
import { Resolver } from "../../../runtime/proxy/control/resolver.ts";
import { type ChannelOptions, GrpcChannel } from "../../../runtime/wire/grpc/channel.ts";
import { ClientConnection } from "../../../runtime/wire/http2/client-connection.ts";
import { INITIAL_SETTINGS, type Settings } from "../../../runtime/wire/http2/settings.ts";

export interface Connected {
  readonly http2: ClientConnection;
  readonly goneAway: string[];
  close(): void;
}

/** Plain HTTP/2 to a port of this machine. */
export async function connectHttp2(port: number, settings: Partial<Settings> = {}): Promise<Connected> {
  const goneAway: string[] = [];
  let flushing: NodeJS.Immediate | undefined;
  let blocked = false;
  const flush = (): void => {
    flushing = undefined;
    if (blocked) return;
    http2.flush((bytes, start, end) => {
      blocked = !socket.write(Buffer.from(bytes.subarray(start, end))) || blocked;
    });
  };
  const http2 = new ClientConnection({
    settings: { ...INITIAL_SETTINGS, maxHeaderListBytes: 65_536, ...settings },
    connectionWindow: 1_000_000,
    maxHeaderBlockBytes: 65_536,
    events: {
      onOutput: () => {
        flushing ??= setImmediate(flush);
      },
      onGoAway: (_, reason) => goneAway.push(reason),
      onPingAck: () => undefined,
      onIdle: () => undefined,
      onSettings: () => undefined,
      onClose: () => undefined,
    },
  });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", (error) => http2.close(error));
  socket.on("close", () => http2.close());
  socket.on("data", (bytes: Buffer) => http2.receive(bytes, 0, bytes.length));
  socket.on("drain", () => {
    blocked = false;
    flush();
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  flush();
  return {
    http2,
    goneAway,
    close: () => {
      clearImmediate(flushing);
      socket.destroy();
    },
  };
}

export function openChannel(port: number, options: Partial<ChannelOptions> = {}): GrpcChannel {
  return new GrpcChannel({
    dial: dialControl({
      replicas: new Replicas({ host: "127.0.0.1", port }, new Resolver()),
      connectTimeoutMs: 1_000,
    }),
    scheme: "http",
    authority: "test",
    userAgent: "test",
    maxMessageBytes: 16 * 1024 * 1024,
    connectWithinMs: 2_000,
    aliveEveryMs: 10_000,
    aliveWithinMs: 3_000,
    idleMs: 10_000,
    retry: { firstMs: 50, capMs: 500 },
    ...options,
  });
}
