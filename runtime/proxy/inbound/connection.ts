/** An inbound connection from its first byte: TLS for us, TLS for the application, HTTP/1, or bytes (reference 5.5, 5.6, 9.6). */
import { readClientHello } from "../detect/client-hello.ts";
import { FirstBytes, type Occasion } from "../detect/first-bytes.ts";
import { detectProtocol, type Protocol } from "../detect/protocol.ts";
import { Downstream } from "../http1/downstream.ts";
import { ServerSession } from "../http2/server-session.ts";
import { DETECT_RESULTS } from "../metrics/connection-series.ts";
import type { Client, InboundServer } from "../policy/inbound.ts";
import type { Connection } from "../tcp/data-plane.ts";
import { type TlsStatus, targetLabels } from "../tcp/labels.ts";
import { type AcceptedSession, acceptTls } from "../tls/mesh-tls.ts";
import { type Accepted, type Address, type ByteStream, nobody } from "../transport/stream.ts";
import { type DirectArrival, readDirect } from "./direct.ts";
import type { InboundPeer } from "./peer.ts";
import { type Arrival, type FirstRead, type Goal, type Served, serveApplication, serveBytes } from "./serve.ts";
import type { InboundSide } from "./side.ts";

const HANDSHAKE_RECORD = 22;
/** A handshake crosses the network twice, whatever connecting may cost. */
const MIN_HANDSHAKE_MS = 3_000;

export class InboundConnection implements Connection {
  readonly #side: InboundSide;
  readonly #accepted: Accepted;
  readonly #began = performance.now();
  /** Where the client was going; undefined: to the proxy itself, and a transport header says where to. */
  readonly #original: Address | undefined;
  /** What it is now; undefined while nobody reads it. */
  #now: Served | undefined;
  #over = false;

  constructor(side: InboundSide, accepted: Accepted) {
    this.#side = side;
    this.#accepted = accepted;
    const { original, local } = accepted;
    this.#original = original === undefined || original.port === local.port ? undefined : original;
  }

  start(): void {
    const { ips, policies, log } = this.#side.options;
    const { ip } = this.#original ?? this.#accepted.local;
    if (ips.size > 0 && !ips.has(ip)) {
      log?.(`refused a connection from ${this.#accepted.remote.ip} to ${ip}: not an address of this pod`);
      this.#accepted.open(nobody).reset();
      return;
    }
    this.#side.plane.add(this);
    if (this.#original === undefined) {
      this.#readHello(undefined);
      return;
    }
    const goal = { address: this.#original, server: policies.port(this.#original.port) };
    // What is opaque is not looked at: its server may speak first.
    if (goal.server.protocol === "opaque") {
      serveBytes(this.#plain({ kind: "none", reason: "port_skipped" }), goal, () => this.#accepted.open(nobody));
    } else {
      this.#readHello(this.#original);
    }
  }

  #arrival(peer: InboundPeer): DirectArrival {
    return {
      side: this.#side,
      peer,
      local: this.#accepted.local,
      become: (served) => {
        this.#now = served;
        if (this.#side.plane.draining) this.drain();
      },
      finish: () => this.#finish(),
      refuse: (why, error) => this.#refuse(why, error),
    };
  }

  /** Without TLS of the mesh. */
  #plain(tls: TlsStatus): Arrival {
    const { remote } = this.#accepted;
    return this.#arrival({ remote, client: { address: remote.ip, tls: "none" }, tls });
  }

  /** Waits for the first bytes, and for all of a ClientHello. */
  #readHello(target: Address | undefined): void {
    const { identity, transport, policies } = this.#side.options;
    const first = this.#firstBytes(this.#detectTimeoutMs(target), (read, occasion) => {
      const { stream, bytes, start, end } = read;
      // Of the policy that is in force now: the client may have been silent for long.
      const goal = target && { address: target, server: policies.port(target.port) };
      if (occasion === "data" && bytes[start] === HANDSHAKE_RECORD) {
        const hello = readClientHello(bytes.subarray(start, end));
        if (hello === "incomplete") return false;
        if (hello !== "not-tls") {
          if (hello.serverName === identity.name.toLowerCase()) {
            void this.#terminate(transport.release(stream, Buffer.from(bytes.subarray(start, end))), target);
            return true;
          }
          if (goal === undefined) return this.#refuse("names nobody here by SNI");
          const tls: TlsStatus = { kind: "opaque", serverName: hello.serverName ?? "" };
          serveBytes(this.#plain(tls), goal, stream, { early: Buffer.from(bytes.subarray(start, end)) });
          return true;
        }
      }
      if (goal === undefined) return this.#refuse("did not speak the mesh's TLS");
      const reason = this.#accepted.remote.ip === goal.address.ip ? "loopback" : "no_tls_from_remote";
      return this.#dispatch(this.#plain({ kind: "none", reason }), goal, read, occasion);
    });
    first.stream = this.#accepted.open(first);
    this.#now = first.stream;
  }

  /** How long a connection may be silent. Only a port whose protocol is to be detected has a time of its own. */
  #detectTimeoutMs(target: Address | undefined): number {
    const { detectTimeoutMs, policies } = this.#side.options;
    const server = target && policies.port(target.port);
    return server?.protocol === "detect" ? Math.min(detectTimeoutMs, server.detectTimeoutMs) : detectTimeoutMs;
  }

  #firstBytes(timeoutMs: number, decide: (read: FirstRead, occasion: Occasion) => boolean): FirstBytes {
    const first: FirstBytes = new FirstBytes(
      timeoutMs,
      (bytes, start, end, occasion) => decide({ stream: first.stream as ByteStream, bytes, start, end }, occasion),
      () => this.#finish(),
    );
    return first;
  }

  /** Not what a connection to the proxy itself may be. @returns false: it is closed */
  #refuse(why: string, error = "unexpected"): false {
    this.#countError(error);
    const { remote } = this.#accepted;
    this.#side.options.log?.(`refused a connection from ${remote.ip} to the proxy's own port: it ${why}`);
    this.#now?.close();
    return false;
  }

  /** Of a connection that no port's policy has seen yet. */
  #countError(error: string): void {
    const { ip, port } = this.#original ?? this.#accepted.local;
    this.#side.options.metrics.counter("inbound_tcp_errors_total", [["error", error], ...targetLabels(ip, port)]).add();
  }

  async #terminate(socket: Parameters<typeof acceptTls>[1], target: Address | undefined): Promise<void> {
    const { transport, identity, connectTimeoutMs, policies, log } = this.#side.options;
    const { remote } = this.#accepted;
    this.#now = { close: () => socket.destroy() };
    let session: AcceptedSession;
    try {
      const timeoutMs = Math.max(MIN_HANDSHAKE_MS, 3 * connectTimeoutMs);
      session = await acceptTls(transport, socket, identity, timeoutMs, nobody);
    } catch (error) {
      this.#countError("i/o");
      log?.(`TLS from ${remote.ip} failed: ${(error as Error).message}`);
      this.#finish();
      return;
    }
    const arrival = this.#arrival({
      remote,
      client: { ...session.client, address: remote.ip } satisfies Client,
      tls: { kind: "established", peer: session.client.identity },
    });
    // Only now: while the handshake lasts, its own time-out holds.
    const first = this.#firstBytes(this.#detectTimeoutMs(target), (read, occasion) =>
      target === undefined
        ? readDirect(arrival, read, occasion)
        : this.#dispatch(arrival, { address: target, server: policies.port(target.port) }, read, occasion),
    );
    first.stream = session.stream;
    session.stream.owner = first;
    this.#now = session.stream;
    if (target === undefined && (!session.transportHeader || session.client.identity === undefined)) {
      this.#refuse(session.transportHeader ? "shows no certificate" : "offers no transport header");
    }
  }

  /** HTTP, or bytes. */
  #dispatch(arrival: Arrival, goal: Goal, read: FirstRead, occasion: Occasion): boolean {
    const { stream, bytes, start, end } = read;
    if (occasion === "end" && start === end) return false;
    const { server } = goal;
    const wanted = server.protocol === "detect" ? undefined : server.protocol;
    const protocol = wanted ?? this.#detect(server, bytes, start, end, occasion);
    if (protocol === "undecided") return false;
    if (protocol === "http1") serveApplication(arrival, "http1", goal, read);
    else if (protocol === "http2" || protocol === "grpc") serveApplication(arrival, "http2", goal, read);
    else {
      const early = Buffer.from(bytes.subarray(start, end));
      serveBytes(arrival, goal, stream, { early, ended: occasion === "end" });
    }
    return true;
  }

  #detect(
    server: InboundServer,
    bytes: Buffer,
    start: number,
    end: number,
    occasion: Occasion,
  ): Protocol | "undecided" {
    const found = occasion === "data" ? detectProtocol(bytes, start, end) : "opaque";
    if (found === "undecided") return found;
    const result = occasion === "silence" ? "read_timeout" : DETECT_RESULTS[found];
    this.#side.seriesOf(server).detected(result, performance.now() - this.#began);
    return found;
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#side.plane.delete(this);
  }

  drain(): void {
    // A proxy of the mesh is not closed on while it may be sending: it hears of the end with its next answer, or closes what it does not use.
    this.#now?.drain?.(this.#now instanceof Downstream && this.#now.meshed);
  }

  renew(): void {
    // The next answer, or GOAWAY, says that it is the last: its client connects anew.
    const now = this.#now;
    if ((now instanceof Downstream || now instanceof ServerSession) && now.meshed) now.drain(true);
  }

  close(): void {
    this.#now?.close();
  }
}
