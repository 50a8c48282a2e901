/** Connections to the control plane: to the first of its replicas that takes one; TCP, with TLS where the address has an identity. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type SecureContext } from "node:tls";
import type { Dial, Transport, TransportEvents } from "../../wire/grpc/transport.ts";
import { formatAddress } from "../policy/networks.ts";
import type { Address } from "../transport/stream.ts";
import type { Replicas } from "./replicas.ts";

export interface ControlDialOptions {
  readonly replicas: Replicas;
  /** How long one replica may take to accept, milliseconds; TLS with it three times as long, and at least 3 s. */
  readonly connectTimeoutMs: number;
  /** Absent: plain text. */
  readonly tls?: { readonly context: SecureContext; readonly serverName: string };
}

/** Sockets would each keep one of 64 KiB. Every read is used up before the next. */
const READ_BYTES = 16_384;
let shared: Buffer | undefined;
/** A handshake crosses the network twice, whatever connecting may cost. */
const MIN_HANDSHAKE_MS = 3_000;

export function dialControl(options: ControlDialOptions): Dial {
  return (events) => new ControlTransport(options, events);
}

class ControlTransport implements Transport {
  readonly #options: ControlDialOptions;
  readonly #events: TransportEvents;
  readonly #abort = new AbortController();
  #socket: Socket | undefined;

  constructor(options: ControlDialOptions, events: TransportEvents) {
    this.#options = options;
    this.#events = events;
    this.#connect().catch((error: unknown) => this.#ended(error instanceof Error ? error : new Error(String(error))));
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    return this.#socket?.write(Buffer.from(bytes.subarray(start, end))) ?? false;
  }

  close(): void {
    this.#abort.abort(new Error("no longer wanted"));
    const socket = this.#socket;
    if (socket === undefined) return;
    // What was written last says why; a peer that does not read is not waited for.
    if (socket.connecting || socket.writableNeedDrain) socket.destroy();
    else socket.destroySoon();
  }

  async #connect(): Promise<void> {
    const { replicas } = this.#options;
    const { signal } = this.#abort;
    const addresses = await replicas.find(signal);
    if (signal.aborted) return;
    const problems: string[] = [];
    for (const address of addresses) {
      const problem = await this.#try(address);
      if (problem === undefined || signal.aborted) return;
      replicas.failed(address);
      problems.push(addresses.length === 1 ? problem : `${formatAddress(address.ip, address.port)}: ${problem}`);
    }
    replicas.forget();
    throw new Error(problems.join("; "));
  }

  /** @returns why it did not become a connection */
  #try(address: Address): Promise<string | undefined> {
    const { connectTimeoutMs, replicas } = this.#options;
    return new Promise((resolve) => {
      let failure: Error | undefined;
      let established = false;
      let over: (() => void) | undefined;
      const socket = this.#open(address, () => {
        established = true;
        over = replicas.connected(address);
        clearTimeout(timer);
        resolve(undefined);
        if (!this.#abort.signal.aborted) this.#events.onConnect();
      });
      this.#socket = socket;
      const limit = (what: string, withinMs: number): NodeJS.Timeout =>
        setTimeout(() => socket.destroy(new Error(`no ${what} within ${withinMs} ms`)), withinMs);
      let timer = limit("connection", connectTimeoutMs);
      socket.on("connect", () => {
        clearTimeout(timer);
        if (!established) timer = limit("TLS", Math.max(MIN_HANDSHAKE_MS, 3 * connectTimeoutMs));
      });
      socket.on("error", (error) => {
        failure = error;
      });
      socket.on("drain", () => {
        if (!this.#abort.signal.aborted) this.#events.onDrain();
      });
      socket.on("close", () => {
        clearTimeout(timer);
        over?.();
        const reason = failure?.message ?? "the connection was closed";
        if (!established) {
          resolve(reason);
          return;
        }
        if (this.#abort.signal.aborted) return;
        replicas.failed(address);
        this.#ended(new Error(reason, { cause: failure }));
      });
    });
  }

  #open({ ip, port }: Address, connected: () => void): Socket {
    const { tls } = this.#options;
    shared ??= Buffer.allocUnsafeSlow(READ_BYTES);
    const options = {
      host: ip,
      port,
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (length: number, bytes: Uint8Array): boolean => {
          if (!this.#abort.signal.aborted) this.#events.onData(bytes as Buffer, 0, length);
          return true;
        },
      },
    };
    if (tls === undefined) return connectTcp(options, connected);
    const { context: secureContext, serverName: servername } = tls;
    return connectTls({ ...options, secureContext, servername, ALPNProtocols: ["h2"] }, connected);
  }

  #ended(error: Error): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(error);
    this.#events.onClose(error);
  }
}
