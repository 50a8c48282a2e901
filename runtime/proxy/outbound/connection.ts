/** A connection of the application's, from where it was going to where its bytes go (reference 9.2, 9.6). */
import { readClientHello } from "../detect/client-hello.ts";
import { FirstBytes } from "../detect/first-bytes.ts";
import { detectProtocol } from "../detect/protocol.ts";
import type { HttpService } from "../http/service.ts";
import { Downstream } from "../http1/downstream.ts";
import { ServerSession } from "../http2/server-session.ts";
import { DETECT_RESULTS, type DetectResult, type RouteCloseError } from "../metrics/connection-series.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { Connection } from "../tcp/data-plane.ts";
import { Forward } from "../tcp/forward.ts";
import { type TlsStatus, targetLabels, tcpLabels, tlsLabels } from "../tcp/labels.ts";
import { type Accepted, type Address, type ByteStream, nobody } from "../transport/stream.ts";
import { OutboundHttp } from "./http.ts";
import { IngressHttp } from "./ingress.ts";
import type { OutboundSide } from "./side.ts";
import type { Backend, OutboundTarget } from "./target.ts";
import { chooseTcp, connectBackend, tcpErrorLabel } from "./tcp-backend.ts";

const HANDSHAKE_RECORD = 22;
/** A policy that says TLS has no time-out of its own for it. */
const HELLO_TIMEOUT_MS = 10_000;
/** As `outbound_tcp_protocol_connections_total` has them. gRPC is HTTP/2. */
const PROTOCOL_LABELS: Readonly<Record<OutboundTarget["protocol"], string>> = {
  detect: "detect",
  opaque: "opaq",
  http1: "http/1",
  http2: "http/2",
  grpc: "http/2",
  tls: "tls",
};
/** What is known of an application's connection that brings no TLS of its own. */
const PLAIN: TlsStatus = { kind: "none", reason: "loopback" };

export class OutboundConnection implements Connection {
  readonly #side: OutboundSide;
  readonly #accepted: Accepted;
  readonly #original: Address | undefined;
  #now: { close(): void; drain?: (wait: boolean) => void } | undefined;
  #holdsTarget = false;
  #over = false;

  constructor(side: OutboundSide, accepted: Accepted) {
    this.#side = side;
    this.#accepted = accepted;
    const { original, local } = accepted;
    // Whoever dials the proxy itself would have it dial itself.
    const looped = original === undefined || (original.port === local.port && original.ip === local.ip);
    this.#original = looped ? undefined : original;
  }

  start(): void {
    const original = this.#original;
    if (original === undefined) {
      this.#side.options.log?.(`refused a connection from ${this.#accepted.remote.ip}: no redirect brought it here`);
      this.#accepted.open(nobody).reset();
      return;
    }
    this.#side.plane.add(this);
    const { ingress } = this.#side.options;
    if (ingress === undefined) this.#discover(original, (target) => this.#open(original, target));
    else this.#openIngress(original, ingress.detectTimeoutMs);
  }

  #discover(original: Address, open: (target: OutboundTarget) => void): void {
    this.#holdsTarget = true;
    const target = this.#side.options.targets.acquire(original.ip, original.port);
    if (!(target instanceof Promise)) {
      open(target);
      return;
    }
    target.then(
      (known) => {
        if (!this.#over) open(known);
      },
      (error: unknown) => {
        this.#side.options.log?.(`discovery of ${original.ip}:${original.port} failed: ${String(error)}`);
        if (this.#now !== undefined) this.#now.close();
        else this.#accepted.open(nobody).reset();
        this.#finish();
      },
    );
  }

  /** By what its requests say; by its original destination where it is no HTTP. It is always looked into, as Linkerd does. */
  #openIngress(original: Address, detectTimeoutMs: number): void {
    const began = performance.now();
    const first: FirstBytes = new FirstBytes(
      detectTimeoutMs,
      (bytes, start, end, occasion) => {
        if (occasion === "end" && start === end) return false;
        const found = occasion === "data" ? detectProtocol(bytes, start, end) : "opaque";
        if (found === "undecided" || (occasion === "data" && isPartOfHello(bytes, start, end))) return false;
        const result = occasion === "silence" ? "read_timeout" : DETECT_RESULTS[found];
        this.#side.ingressSeries.detected(result, performance.now() - began);
        const stream = first.stream as ByteStream;
        if (found === "opaque")
          this.#bytes(stream, original, Buffer.from(bytes.subarray(start, end)), occasion === "end");
        else this.#ingress(found, stream, original).onData(bytes, start, end);
        return true;
      },
      () => this.#finish(),
    );
    first.stream = this.#accepted.open(first);
    this.#now = first.stream;
  }

  #ingress(protocol: "http1" | "http2", stream: ByteStream, original: Address): Downstream | ServerSession {
    const { remote } = this.#accepted;
    const series = this.#clientSeries(original);
    return this.#serve(
      protocol,
      stream,
      new IngressHttp(this.#side, remote, original, protocol, series, () => this.#finish()),
    );
  }

  /** No HTTP, and nobody has asked yet where it goes. */
  #bytes(stream: ByteStream, original: Address, early: Buffer, ended: boolean): void {
    stream.pause();
    stream.owner = { ...nobody, onClose: () => this.#finish() };
    this.#discover(original, (target) => {
      const hello = early[0] === HANDSHAKE_RECORD ? readClientHello(early) : "not-tls";
      const status: TlsStatus | undefined =
        typeof hello === "string" ? undefined : { kind: "opaque", serverName: hello.serverName ?? "" };
      this.#forward(stream, original, target, early, ended, status);
    });
  }

  #open(original: Address, target: OutboundTarget): void {
    const { protocol, detectTimeoutMs } = target;
    const told = this.#side.seriesOf(target);
    told.accepted(PROTOCOL_LABELS[protocol]);
    if (protocol === "http1" || protocol === "http2" || protocol === "grpc") {
      this.#http(protocol === "http1" ? "http1" : "http2", this.#accepted.open(nobody), original, target);
      return;
    }
    if (protocol === "opaque") {
      this.#forward(() => this.#accepted.open(nobody), original, target);
      return;
    }
    const began = performance.now();
    const detected = (result: DetectResult): void => {
      if (protocol === "detect") told.detected(result, performance.now() - began);
    };
    const first: FirstBytes = new FirstBytes(
      protocol === "tls" ? HELLO_TIMEOUT_MS : detectTimeoutMs,
      (bytes, start, end, occasion) => {
        if (occasion === "end" && start === end) return false;
        const stream = first.stream as ByteStream;
        if (occasion === "data" && bytes[start] === HANDSHAKE_RECORD) {
          const hello = readClientHello(bytes.subarray(start, end));
          if (hello === "incomplete") return false;
          if (hello !== "not-tls") {
            if (protocol === "tls" && hello.serverName === undefined) return this.#turnAway(stream, "has no name");
            detected("not_http");
            this.#passTls(stream, original, target, hello.serverName ?? "", Buffer.from(bytes.subarray(start, end)));
            return true;
          }
        }
        if (protocol === "tls") return this.#turnAway(stream, "is no TLS");
        const found = occasion === "data" && protocol === "detect" ? detectProtocol(bytes, start, end) : "opaque";
        if (found === "undecided") return false;
        detected(occasion === "silence" ? "read_timeout" : DETECT_RESULTS[found]);
        if (found === "opaque") {
          this.#forward(stream, original, target, Buffer.from(bytes.subarray(start, end)), occasion === "end");
        } else this.#http(found, stream, original, target).onData(bytes, start, end);
        return true;
      },
      () => this.#finish(),
    );
    first.stream = this.#accepted.open(first);
    this.#now = first.stream;
  }

  /** Where all goes by the name that TLS asks for, there is no way without one, as in Linkerd. */
  #turnAway(stream: ByteStream, why: string): true {
    const { remote } = this.#accepted;
    const { ip, port } = this.#original as Address;
    this.#side.options.log?.(`${remote.ip} to ${ip}:${port}: refused, what it sends ${why}, and its policy is TLS`);
    stream.owner = nobody;
    stream.reset();
    this.#finish();
    return true;
  }

  /** TLS of the application's own goes on as it is; its name is told. */
  #passTls(stream: ByteStream, original: Address, target: OutboundTarget, serverName: string, early: Buffer): void {
    this.#forward(stream, original, target, early, false, { kind: "opaque", serverName });
  }

  #clientSeries(original: Address, status: TlsStatus = PLAIN): TcpSeries {
    const tls = tlsLabels(status, "client_id");
    const labels = tcpLabels("outbound", "src", targetLabels(original.ip, original.port), tls, []);
    const series = this.#side.options.metrics.tcp(labels);
    series.opened();
    return series;
  }

  #http(
    protocol: "http1" | "http2",
    stream: ByteStream,
    original: Address,
    target: OutboundTarget,
  ): Downstream | ServerSession {
    const { remote } = this.#accepted;
    const series = this.#clientSeries(original);
    const done = (): void => this.#finish();
    return this.#serve(
      protocol,
      stream,
      new OutboundHttp(this.#side, remote, original, protocol, target, series, done),
    );
  }

  #serve(protocol: "http1" | "http2", stream: ByteStream, service: HttpService): Downstream | ServerSession {
    const downstream =
      protocol === "http1"
        ? new Downstream(stream, service, this.#side.options.headTimeoutMs)
        : new ServerSession(stream, service, this.#side.options.http2Limits, this.#side.options.headTimeoutMs);
    this.#now = downstream;
    if (this.#side.plane.draining) downstream.drain(false);
    return downstream;
  }

  #forward(
    client: ByteStream | (() => ByteStream),
    original: Address,
    target: OutboundTarget,
    early?: Buffer,
    ended = false,
    status?: TlsStatus,
  ): void {
    const { metrics, log } = this.#side.options;
    const serverName = status?.kind === "opaque" ? status.serverName : undefined;
    const { backend, route } = chooseTcp(target, serverName);
    if (backend.kind === "balancer") this.#side.useBalancers(backend);
    const kind = target.protocol === "tls" ? "tls" : "tcp";
    const told = route && this.#side.seriesOf(target);
    if (route !== undefined) told?.routeOpened(kind, route);
    let closed: RouteCloseError = "";
    this.#now = new Forward({
      client,
      series: this.#clientSeries(original, status),
      ...(early === undefined ? {} : { early }),
      ended,
      connect: (owner) => connectBackend(this.#side, backend, owner, kind),
      onFailed: (error) => {
        closed = closeError(backend);
        metrics.counter("outbound_tcp_errors_total", [["error", tcpErrorLabel(backend, error)]]).add();
        log?.(`${original.ip}:${original.port}: ${error.message}`);
      },
      onDone: () => {
        if (backend.kind === "balancer") this.#side.leave(backend);
        if (route !== undefined) told?.routeClosed(kind, route, closed);
        this.#finish();
      },
    });
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#original !== undefined && this.#holdsTarget) {
      this.#side.options.targets.release(this.#original.ip, this.#original.port);
    }
    this.#side.plane.delete(this);
  }

  drain(): void {
    this.#now?.drain?.(false);
  }

  close(): void {
    if (this.#now !== undefined) this.#now.close();
    else {
      // Discovery has not answered yet.
      this.#accepted.open(nobody).close();
      this.#finish();
    }
  }
}

function isPartOfHello(bytes: Buffer, start: number, end: number): boolean {
  return bytes[start] === HANDSHAKE_RECORD && readClientHello(bytes.subarray(start, end)) === "incomplete";
}

const FORBIDDEN = 403;

/** Why a connection to it did not come about. */
function closeError(backend: Backend): RouteCloseError {
  if (backend.kind !== "fail") return "unexpected";
  return backend.status === FORBIDDEN ? "forbidden" : "invalid_backend";
}
