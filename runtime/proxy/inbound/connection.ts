/** An inbound connection from its first byte: TLS for us, TLS for the application, HTTP/1, or bytes (reference 5.5, 5.6, 9.6). */
import { readClientHello } from "../detect/client-hello.ts";
import { FirstBytes, type Occasion } from "../detect/first-bytes.ts";
import { detectProtocol, type Protocol } from "../detect/protocol.ts";
import { Refusal } from "../http/failure.ts";
import type { HttpService } from "../http/service.ts";
import { Downstream } from "../http1/downstream.ts";
import { ServerSession } from "../http2/server-session.ts";
import { DETECT_RESULTS } from "../metrics/connection-series.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { Client, InboundServer } from "../policy/inbound.ts";
import type { Connection } from "../tcp/data-plane.ts";
import { Forward } from "../tcp/forward.ts";
import { type TlsStatus, targetLabels, tcpLabels, tlsLabels } from "../tcp/labels.ts";
import { type AcceptedSession, acceptTls } from "../tls/mesh-tls.ts";
import { decodeTransportHeader, type TransportHeader } from "../tls/transport-header.ts";
import { type Accepted, type Address, type ByteStream, nobody } from "../transport/stream.ts";
import { GatewayHttp, gatewayWay, leadsTo, type Way } from "./gateway.ts";
import { InboundHttp, type InboundPeer } from "./http.ts";
import { RefusedHttp } from "./refused-http.ts";
import type { Gateway, InboundSide } from "./side.ts";

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
  #now: { close(): void; drain?: (wait: boolean) => void } | undefined;
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
      this.#readHello(undefined, undefined);
      return;
    }
    const server = policies.port(this.#original.port);
    // What is opaque is not looked at: its server may speak first.
    if (server.protocol === "opaque") {
      const tls: TlsStatus = { kind: "none", reason: "port_skipped" };
      this.#forward(() => this.#accepted.open(nobody), this.#original, server, this.#plainPeer(tls));
    } else {
      this.#readHello(this.#original, server);
    }
  }

  #plainPeer(tls: TlsStatus): InboundPeer {
    const { remote } = this.#accepted;
    return { remote, client: { address: remote.ip, tls: "none" }, tls };
  }

  /** Waits for the first bytes, and for all of a ClientHello. */
  #readHello(target: Address | undefined, server: InboundServer | undefined): void {
    const { identity, transport } = this.#side.options;
    const first = this.#firstBytes(this.#detectTimeoutMs(server), (stream, bytes, start, end, occasion) => {
      if (occasion === "data" && bytes[start] === HANDSHAKE_RECORD) {
        const hello = readClientHello(bytes.subarray(start, end));
        if (hello === "incomplete") return false;
        if (hello !== "not-tls") {
          if (hello.serverName === identity.name.toLowerCase()) {
            void this.#terminate(transport.release(stream, Buffer.from(bytes.subarray(start, end))), target);
            return true;
          }
          if (target === undefined || server === undefined) return this.#refuse("names nobody here by SNI");
          const tls: TlsStatus = { kind: "opaque", serverName: hello.serverName ?? "" };
          this.#forward(stream, target, server, this.#plainPeer(tls), Buffer.from(bytes.subarray(start, end)));
          return true;
        }
      }
      if (target === undefined || server === undefined) return this.#refuse("did not speak the mesh's TLS");
      const reason = this.#accepted.remote.ip === target.ip ? "loopback" : "no_tls_from_remote";
      const peer = this.#plainPeer({ kind: "none", reason });
      return this.#dispatch(stream, target, server, peer, bytes, start, end, occasion);
    });
    first.stream = this.#accepted.open(first);
    this.#now = first.stream;
  }

  /** How long a connection may be silent. Only a port whose protocol is to be detected has a time of its own. */
  #detectTimeoutMs(server: InboundServer | undefined): number {
    const { detectTimeoutMs } = this.#side.options;
    return server?.protocol === "detect" ? Math.min(detectTimeoutMs, server.detectTimeoutMs) : detectTimeoutMs;
  }

  #firstBytes(
    timeoutMs: number,
    decide: (stream: ByteStream, bytes: Buffer, start: number, end: number, occasion: Occasion) => boolean,
  ): FirstBytes {
    const first: FirstBytes = new FirstBytes(
      timeoutMs,
      (bytes, start, end, occasion) => decide(first.stream as ByteStream, bytes, start, end, occasion),
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
    const peer: InboundPeer = {
      remote,
      client: { ...session.client, address: remote.ip } satisfies Client,
      tls: { kind: "established", peer: session.client.identity },
    };
    // Only now: while the handshake lasts, its own time-out holds.
    const server = target === undefined ? undefined : policies.port(target.port);
    const first = this.#firstBytes(this.#detectTimeoutMs(server), (stream, bytes, start, end, occasion) =>
      target === undefined
        ? this.#readHeader(stream, peer, bytes, start, end, occasion)
        : this.#dispatch(stream, target, policies.port(target.port), peer, bytes, start, end, occasion),
    );
    first.stream = session.stream;
    session.stream.owner = first;
    this.#now = session.stream;
    if (target === undefined && (!session.transportHeader || session.client.identity === undefined)) {
      this.#refuse(session.transportHeader ? "shows no certificate" : "offers no transport header");
    }
  }

  /** A connection to the proxy itself says first what it is for. */
  #readHeader(
    stream: ByteStream,
    peer: InboundPeer,
    bytes: Buffer,
    start: number,
    end: number,
    occasion: Occasion,
  ): boolean {
    if (occasion !== "data") return this.#refuse("sent no transport header");
    const decoded = decodeTransportHeader(bytes.subarray(start, end));
    if (decoded === "incomplete") return false;
    if (decoded === "malformed") return this.#refuse("sent a malformed transport header");
    const { port, name, protocol } = decoded.header;
    const rest = start + decoded.end;
    const { gateway } = this.#side;
    const enters = gateway !== undefined && name !== "" && leadsTo(gateway, name);
    const refusal = enters ? undefined : this.#refusalOf(port, name);
    if (refusal !== undefined) return this.#refuseDirect(refusal, protocol, stream, peer, bytes, rest, end);
    this.#side.options.metrics
      .counter("inbound_tcp_transport_header_connections_total", [
        ["session_protocol", protocol === undefined ? "" : DETECT_RESULTS[protocol]],
        ["target_port", String(port)],
        ["target_name", name],
        ["client_id", peer.client.identity ?? ""],
      ])
      .add();
    if (enters) {
      this.#enterGateway(gateway, decoded.header, stream, peer, Buffer.from(bytes.subarray(rest, end)));
      return true;
    }
    const address = { ip: this.#accepted.local.ip, port };
    const server = this.#side.options.policies.port(port);
    // The pod's own word on its port counts more than what a client took the bytes for.
    const opaque = protocol === undefined || server.protocol === "opaque" || server.protocol === "tls";
    if (opaque) this.#forward(stream, address, server, peer, Buffer.from(bytes.subarray(rest, end)));
    else this.#http(protocol, stream, address, server, peer, bytes, rest, end);
    return true;
  }

  /** What a connection to the proxy itself may not be for. */
  #refusalOf(port: number, name: string): Refusal | undefined {
    if (name !== "") return new Refusal("gateway-domain", `this proxy is no gateway to ${name}`);
    if (port !== this.#accepted.local.port) return undefined;
    return new Refusal("loop", `port ${port} is the proxy's own: the connection would come back to it`);
  }

  #refuseDirect(
    refusal: Refusal,
    protocol: "http1" | "http2" | undefined,
    stream: ByteStream,
    peer: InboundPeer,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean {
    const { metrics } = this.#side.options;
    const { local } = this.#accepted;
    const labels = targetLabels(local.ip, local.port);
    if (protocol === undefined) {
      return this.#refuse(`was for what it may not be: ${refusal.message}`, refusal.error);
    }
    const tcp = metrics.tcp(tcpLabels("inbound", "src", labels, tlsLabels(peer.tls, "client_id"), []));
    tcp.opened();
    const service = new RefusedHttp({ refusal, tcp, metrics, labels, onClosed: () => this.#finish() });
    this.#serve(protocol, stream, service, bytes, start, end);
    return true;
  }

  /** By the policy of the proxy's own port, to where the outbound side would go for that name. */
  #enterGateway(
    gateway: Gateway,
    { name, port, protocol }: TransportHeader,
    stream: ByteStream,
    peer: InboundPeer,
    early: Buffer,
  ): void {
    const { outbound } = gateway;
    const { targets } = outbound.options;
    const { policies, identity } = this.#side.options;
    const { local } = this.#accepted;
    let gone = false;
    stream.owner = {
      ...nobody,
      onClose: () => {
        gone = true;
        this.#finish();
      },
    };
    stream.pause();
    void Promise.resolve(targets.acquire(name, port)).then((target) => {
      const release = (): void => targets.release(name, port);
      if (gone) {
        release();
        return;
      }
      const server = policies.port(local.port);
      if (protocol === undefined) {
        this.#forward(stream, local, server, peer, early, false, gatewayWay(outbound, target, release));
        return;
      }
      const series = this.#clientSeries(local, server, peer);
      const entrance = new InboundHttp(this.#side, peer, local, series, () => {
        release();
        this.#finish();
      });
      const service = new GatewayHttp({
        gateway,
        target,
        name,
        port,
        protocol,
        identity: identity.name,
        peer,
        entrance,
      });
      // What is read then comes in a later turn.
      stream.resume();
      this.#serve(protocol, stream, service, early, 0, early.length);
    });
  }

  /** HTTP, or bytes. */
  #dispatch(
    stream: ByteStream,
    target: Address,
    server: InboundServer,
    peer: InboundPeer,
    bytes: Buffer,
    start: number,
    end: number,
    occasion: Occasion,
  ): boolean {
    if (occasion === "end" && start === end) return false;
    const wanted = server.protocol === "detect" ? undefined : server.protocol;
    const protocol = wanted ?? this.#detect(server, bytes, start, end, occasion);
    if (protocol === "http1") this.#http("http1", stream, target, server, peer, bytes, start, end);
    else if (protocol === "http2" || protocol === "grpc") {
      this.#http("http2", stream, target, server, peer, bytes, start, end);
    } else {
      this.#forward(stream, target, server, peer, Buffer.from(bytes.subarray(start, end)), occasion === "end");
    }
    return true;
  }

  #detect(server: InboundServer, bytes: Buffer, start: number, end: number, occasion: Occasion): Protocol {
    const found = occasion === "data" ? detectProtocol(bytes, start, end) : "opaque";
    const result = occasion === "silence" ? "read_timeout" : DETECT_RESULTS[found];
    this.#side.seriesOf(server).detected(result, performance.now() - this.#began);
    return found;
  }

  #http(
    protocol: "http1" | "http2",
    stream: ByteStream,
    target: Address,
    server: InboundServer,
    peer: InboundPeer,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const series = this.#clientSeries(target, server, peer);
    const service = new InboundHttp(this.#side, peer, target, series, () => this.#finish());
    this.#serve(protocol, stream, service, bytes, start, end);
  }

  #serve(
    protocol: "http1" | "http2",
    stream: ByteStream,
    service: HttpService,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const downstream =
      protocol === "http1"
        ? new Downstream(stream, service, this.#side.options.headTimeoutMs)
        : new ServerSession(stream, service);
    this.#now = downstream;
    if (this.#side.plane.draining) this.drain();
    if (start < end) downstream.onData(bytes, start, end);
  }

  #clientSeries(target: Address, server: InboundServer, peer: InboundPeer): TcpSeries {
    const labels = tcpLabels(
      "inbound",
      "src",
      targetLabels(target.ip, target.port),
      tlsLabels(peer.tls, "client_id"),
      server.labels,
    );
    const series = this.#side.options.metrics.tcp(labels);
    series.opened();
    return series;
  }

  #forward(
    client: ByteStream | (() => ByteStream),
    target: Address,
    server: InboundServer,
    peer: InboundPeer,
    early?: Buffer,
    ended = false,
    way: Way = this.#wayToApplication(target),
  ): void {
    const { metrics, policies, log } = this.#side.options;
    const labels = [...targetLabels(target.ip, target.port), ...server.labels];
    const tls = tlsLabels(peer.tls, "client_id");
    const permit = server.authorizeConnection(peer.client);
    if (permit === undefined) {
      this.#side.tell("denied a connection", peer.client, server);
      metrics.counter("inbound_tcp_authz_deny_total", [...labels, ...tls]).add();
      const stream = typeof client === "function" ? client() : client;
      stream.owner = { ...nobody, onClose: () => this.#finish() };
      stream.close();
      way.done?.();
      return;
    }
    metrics.counter("inbound_tcp_authz_allow_total", [...labels, ...permit.labels, ...tls]).add();
    if (permit.audit) this.#side.tell("only audits connections", peer.client, server);
    const unfollow = policies.follow(target.port, (changed) => {
      if (changed.authorizeConnection(peer.client) !== undefined) return;
      this.#side.tell("ended a connection", peer.client, changed);
      const changedLabels = [...targetLabels(target.ip, target.port), ...changed.labels, ...tls];
      metrics.counter("inbound_tcp_authz_terminate_total", changedLabels).add();
      this.close();
    });
    this.#now = new Forward({
      client,
      series: this.#clientSeries(target, server, peer),
      ...(early === undefined ? {} : { early }),
      ended,
      connect: way.connect,
      onFailed: (error) => {
        metrics.counter("inbound_tcp_errors_total", [["error", "i/o"], ...labels]).add();
        log?.(error.message);
      },
      onDone: () => {
        unfollow();
        way.done?.();
        this.#finish();
      },
    });
  }

  #wayToApplication(target: Address): Way {
    const { metrics, transport, connectTimeoutMs } = this.#side.options;
    return {
      connect: async (owner) => {
        const stream = await transport.connect(target, connectTimeoutMs, owner);
        const series = metrics.tcp(this.#side.applicationLabels(target));
        series.opened();
        return { stream, series };
      },
    };
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
