/** Where a client's bytes enter a proxy: the sides of real ones, in this process, over real sockets and TLS, before real applications. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import type { LocalIdentity } from "../../../../runtime/proxy/identity/local-identity.ts";
import { startOutbound } from "../../../../runtime/proxy/outbound/outbound.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";
import { noTap, StaticTargets } from "../../proxy-data-plane/support/static.ts";
import { InboundWorld } from "./inbound-world.ts";
import { defaultServer, everyone } from "./messages.ts";
import { until } from "./until.ts";

export const CLIENT = "client.shop.serviceaccount.identity.weft.cluster.local";

/** `meshed`: through mTLS. */
export type Entrance = "inbound plain" | "inbound meshed" | "outbound";
export const ENTRANCES: readonly Entrance[] = ["inbound plain", "inbound meshed", "outbound"];

/** A port on which every request is answered 403 by the proxy itself. */
export const SHUT = 9;

const NO_IDENTITY: LocalIdentity = {
  name: "nobody.shop.serviceaccount.identity.weft.cluster.local",
  ready: Promise.resolve(),
  validity: undefined,
  context: () => undefined,
  onChange: () => () => undefined,
};

export class Entrances {
  /** Its applications are behind the outbound side too; so are its metrics. */
  readonly world = new InboundWorld();
  #outbound = { ip: "127.0.0.1", port: 0 };
  #original = { ip: "127.0.0.1", port: 0 };
  #accepted = 0;
  #turn: Promise<void> = Promise.resolve();
  #close: () => void = () => undefined;

  /** @param headTimeoutMs WEFT_HTTP1_HEAD_TIMEOUT */
  async start(headTimeoutMs?: number): Promise<void> {
    const limit = headTimeoutMs === undefined ? {} : { headTimeoutMs };
    await this.world.start(limit);
    for (const port of Object.values(this.world.ports)) {
      await this.world.setPolicy(port, defaultServer(`open-${port}`, [everyone("all")]));
    }
    const targets = new StaticTargets();
    targets.set(`127.0.0.1:${SHUT}`, { endpoints: [], refuse: 403 });
    await this.world.setPolicy(SHUT, defaultServer("shut", []));
    const outbound = await startOutbound({
      transport: createTransport(() => {
        this.#accepted++;
        return this.#original;
      }),
      listen: [{ ip: "127.0.0.1", port: 0 }],
      identity: NO_IDENTITY,
      metrics: this.world.metrics,
      tap: noTap,
      ips: new Set(),
      connectTimeoutMs: 1_000,
      targets,
      ...limit,
    });
    this.#outbound = outbound.addresses[0] ?? this.#outbound;
    this.#close = () => outbound.close();
  }

  stop(): void {
    this.#close();
    this.world.stop();
  }

  /** One after the other: where a connection was going is told of the next that comes. @param under of TLS: see {@link InboundWorld.connect} */
  connect(entrance: Entrance, port: number, under?: (connection: Socket) => Duplex): Promise<Socket> {
    const before = this.#turn;
    const connected = before.then(async () => {
      const accepted = this.#accepted + this.world.accepted;
      const socket = await this.#connect(entrance, port, under);
      await until("it is accepted", () => this.#accepted + this.world.accepted > accepted);
      return socket;
    });
    this.#turn = connected.then(
      () => undefined,
      () => undefined,
    );
    return connected;
  }

  async #connect(entrance: Entrance, port: number, under?: (connection: Socket) => Duplex): Promise<Socket> {
    if (entrance !== "outbound") {
      return await this.world.connect(port, entrance === "inbound meshed" ? CLIENT : undefined, undefined, under);
    }
    this.#original = { ip: "127.0.0.1", port };
    const socket = connectTcp({ host: this.#outbound.ip, port: this.#outbound.port });
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  }
}

/** Writes `bytes` in pieces, each of which is read by itself. */
export async function writeCut(socket: Duplex, bytes: Buffer, pieceBytes: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    socket.write(bytes.subarray(at, at + pieceBytes));
    // The other end is in this process: a turn to send, and one to read.
    for (let turns = 0; turns < 3; turns++) await turn();
  }
}

/** A connection whose writer's bytes go out a few at a time. */
export class Cut extends Duplex {
  readonly #socket: Socket;
  readonly #pieceBytes: number;

  constructor(socket: Socket, pieceBytes: number) {
    super();
    this.#socket = socket;
    this.#pieceBytes = pieceBytes;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => this.push(bytes));
    socket.on("end", () => this.push(null));
    socket.on("error", () => undefined);
    socket.on("close", () => this.destroy());
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    void writeCut(this.#socket, bytes, this.#pieceBytes).then(done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
