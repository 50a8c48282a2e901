/** An inbound side in this process, over real sockets and TLS, that gets its policies from a scripted control plane. */
import { once } from "node:events";
import { Agent, createServer as createHttpServer, type IncomingHttpHeaders, request as sendHttp1 } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, createSecureContext } from "node:tls";
import type { Server as Policy } from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { LocalIdentity } from "../../../../runtime/proxy/identity/local-identity.ts";
import { startInbound } from "../../../../runtime/proxy/inbound/inbound.ts";
import type { InboundOptions } from "../../../../runtime/proxy/inbound/options.ts";
import { Discovery } from "../../../../runtime/proxy/outbound/discovery.ts";
import { WatchedInboundPolicies } from "../../../../runtime/proxy/policy/inbound-policies.ts";
import type { Address, Transport } from "../../../../runtime/proxy/transport/stream.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";
import { certificatePem, issueLeaf } from "../../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../../runtime/x509/keys.ts";
import { noTap, Recorder } from "../../proxy-data-plane/support/static.ts";
import { createTestAuthority } from "./authority.ts";
import { connect, PROXY_IDENTITY, silent } from "./clients.ts";
import { ControlPlane } from "./control-plane.ts";
import { until } from "./until.ts";

/** The body of `/big`. */
export const BIG = Buffer.alloc(1024 * 1024, "b");
/** Where clients seem to come from: what comes from loopback is never checked. */
const CLIENT_IP = "10.1.2.3";

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Sends requests on one connection. */
export interface Requester {
  ask(path: string, asked?: Asked): Promise<Reply>;
  close(): void;
}

export type Version = "HTTP/1.1" | "HTTP/2";

export class InboundWorld {
  readonly plane = new ControlPlane({ authority: createTestAuthority() });
  readonly metrics = new Recorder();
  readonly log: string[] = [];
  /** Connections that came to the proxy. */
  accepted = 0;
  /**
   * Of applications that answer with the request's head as JSON; to `/slow` after a while, to `/big` with {@link BIG}, to `/die` not at all, to `/half` with half of
   * a body. They take CONNECT, and the first one upgrades, and echo then.
   */
  readonly ports = { "HTTP/1.1": 0, "HTTP/2": 0, echo: 0 };
  #policies: WatchedInboundPolicies | undefined;
  #inbound: Address = { ip: "127.0.0.1", port: 0 };
  #original: Address | undefined;
  #openConnections: () => number = () => 0;
  readonly #closers: (() => void)[] = [];

  /** @param options `gatewaySuffixes`: where it is a gateway to, by discovery of the scripted control plane */
  async start(
    options: Partial<Pick<InboundOptions, "maxInFlight" | "headTimeoutMs" | "authorityLabels">> & {
      identity?: "absent";
      gatewaySuffixes?: readonly string[];
    } = {},
  ): Promise<void> {
    await this.#startApplications();
    const clients = await connect(this.plane);
    await clients.identity.ready;
    const policies = new WatchedInboundPolicies({
      client: clients.client(),
      workload: "web",
      limits: { initialMs: 2_000, idleMs: 60_000, lifetimeMs: 3_600_000 },
      defaults: { policy: "deny", clusterNetworks: [], opaquePorts: [], detectTimeoutMs: 10_000 },
      ports: [],
      idleMs: 90_000,
      log: silent,
    });
    this.#policies = policies;
    const { identity: absent, gatewaySuffixes: suffixes, ...rest } = options;
    const identity: LocalIdentity =
      absent === undefined
        ? clients.identity
        : {
            name: clients.identity.name,
            ready: clients.identity.ready,
            validity: undefined,
            context: () => undefined,
            onChange: () => () => undefined,
          };
    const common = {
      transport: this.#transport(),
      listen: [{ ip: "127.0.0.1", port: 0 }],
      identity,
      metrics: this.metrics,
      tap: noTap,
      ips: new Set<string>(),
      connectTimeoutMs: 1_000,
      log: (line: string): void => void this.log.push(line),
    };
    const targets = new Discovery({
      policyClient: clients.client(),
      destinationClient: clients.client(),
      policy: { workload: "web" },
      destination: { context: "", profileNetworks: [] },
      streams: { initialMs: 2_000, idleMs: 60_000, lifetimeMs: 3_600_000 },
      outbound: { discoveryIdleMs: 5_000, detectTimeoutMs: 10_000 },
      log: silent,
      metrics: this.metrics,
    });
    const inbound = await startInbound({
      ...common,
      detectTimeoutMs: 10_000,
      policies,
      ...(suffixes === undefined ? {} : { gateway: { suffixes, outbound: { ...common, targets } } }),
      ...rest,
    });
    this.#inbound = inbound.addresses[0] ?? this.#inbound;
    this.#openConnections = inbound.openConnections;
    this.#closers.push(
      () => inbound.close(),
      () => targets.close(),
      () => policies.close(),
      () => clients.close(),
    );
  }

  /** Real sockets, as if they came through a redirect and from elsewhere. */
  #transport(): Transport {
    const real = createTransport(() => this.#original);
    return {
      name: real.name,
      connect: (...argv) => real.connect(...argv),
      adopt: (...argv) => real.adopt(...argv),
      release: (...argv) => real.release(...argv),
      listen: (address, backlog, accept) =>
        real.listen(address, backlog, (accepted) => {
          this.accepted++;
          accept({
            remote: { ip: CLIENT_IP, port: accepted.remote.port },
            local: accepted.local,
            original: this.#original,
            open: (owner) => accepted.open(owner),
          });
        }),
    };
  }

  async #startApplications(): Promise<void> {
    const http1 = createHttpServer((request, response) => {
      const answer = (): void => void response.end(JSON.stringify(request.headers));
      if (request.url === "/slow") setTimeout(answer, 300);
      else if (request.url === "/big") response.end(BIG);
      else if (request.url === "/die") request.socket.destroy();
      else if (request.url === "/half") {
        response.writeHead(200, { "content-length": 100 });
        response.write("half", () => request.socket.resetAndDestroy());
      } else answer();
    });
    http1.on("upgrade", ({ url }, socket: Duplex) => {
      socket.on("error", () => undefined);
      const grant = (): void => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        socket.pipe(socket);
      };
      if (url === "/slow") setTimeout(grant, 300);
      else grant();
    });
    http1.on("connect", (_request, socket: Duplex) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(socket);
    });
    const http2 = createHttp2Server({ maxSessionMemory: 1_000 });
    http2.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      if (headers[":method"] === "CONNECT") {
        stream.respond({ ":status": 200 });
        stream.pipe(stream);
        return;
      }
      const answer = (): void => {
        stream.respond({ ":status": 200 });
        stream.end(JSON.stringify(headers));
      };
      const path = headers[":path"];
      if (path === "/slow") setTimeout(() => stream.destroyed || answer(), 300);
      else if (path === "/big") {
        stream.respond({ ":status": 200 });
        stream.end(BIG);
      } else if (path === "/die") stream.session?.destroy();
      else if (path === "/half") {
        stream.respond({ ":status": 200, "content-length": 100 });
        stream.write("half", () => stream.close(2));
      } else answer();
    });
    const echo = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    this.ports["HTTP/1.1"] = await this.#listen(http1);
    this.ports["HTTP/2"] = await this.#listen(http2 as unknown as Server);
    this.ports.echo = await this.#listen(echo);
  }

  async #listen(server: Server): Promise<number> {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#closers.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return (server.address() as AddressInfo).port;
  }

  /** The policy of a port, in force when this resolves. */
  async setPolicy(port: number, policy: Policy): Promise<void> {
    const name = policy.labels["name"];
    this.plane.inbound(port).first = [policy];
    this.plane.inbound(port).push(policy);
    const inForce = (): boolean => this.#policies?.port(port).labels.some(([, value]) => value === name) === true;
    await until(`policy ${name}`, inForce);
  }

  /**
   * @param port undefined: the proxy's own. @param identity of the client; undefined: plain text
   * @param under what TLS is spoken through, instead of the connection itself
   */
  async connect(
    port: number | undefined,
    identity?: string,
    alpn?: string,
    under?: (connection: Socket) => Duplex,
  ): Promise<Socket> {
    this.#original = port === undefined ? undefined : { ip: "127.0.0.1", port };
    const { ip: host, port: proxyPort } = this.#inbound;
    const { authority } = this.plane;
    let socket: Socket;
    if (identity === undefined) {
      socket = connectTcp({ host, port: proxyPort });
      await once(socket, "connect");
    } else {
      const keys = generateKeyPair();
      const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
      const leaf = issueLeaf(authority.issuer, { publicKey: keys.publicKey, dnsNames: [identity], ...validity });
      const secureContext = createSecureContext({
        key: privateKeyPem(keys.privateKey),
        cert: certificatePem(leaf) + certificatePem(authority.issuer.certificate),
        ca: authority.anchorsPem,
      });
      socket = connectTls({
        ...(under === undefined ? { host, port: proxyPort } : { socket: under(connectTcp({ host, port: proxyPort })) }),
        secureContext,
        servername: PROXY_IDENTITY,
        ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
      });
      await once(socket, "secureConnect");
    }
    socket.on("error", () => undefined);
    this.#closers.push(() => socket.destroy());
    return socket;
  }

  /** Connections that the proxy has. */
  open(): number {
    return this.#openConnections();
  }

  get proxyPort(): number {
    return this.#inbound.port;
  }

  async requester(version: Version, port: number, identity?: string): Promise<Requester> {
    return requesterOn(version, await this.connect(port, identity));
  }

  /** Sum of the series of `family` that contain every one of `labels`. */
  sum(family: string, ...labels: string[]): number {
    return [...this.metrics.values]
      .filter(([series]) => series.startsWith(`${family}{`) && labels.every((label) => series.includes(label)))
      .reduce((total, [, value]) => total + value, 0);
  }

  stop(): void {
    for (const close of this.#closers.reverse()) close();
  }
}

export function requesterOn(version: Version, socket: Duplex): Requester {
  return version === "HTTP/1.1" ? new Http1Requester(socket) : new Http2Requester(socket);
}

class Http1Requester implements Requester {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.#agent.createConnection = () => socket;
  }

  ask(path: string, { method = "GET", headers = {} }: Asked = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const request = sendHttp1(
        { agent: this.#agent, path, method, headers: { host: "web.shop", ...headers } },
        (response) => {
          let body = "";
          response.on("data", (chunk: Buffer) => {
            body += chunk.toString();
          });
          response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
          response.on("error", reject);
        },
      );
      request.on("error", reject);
      request.end();
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

class Http2Requester implements Requester {
  readonly #session: ClientHttp2Session;

  constructor(socket: Duplex) {
    this.#session = connectHttp2("http://web.shop", { createConnection: () => socket });
    this.#session.on("error", () => undefined);
  }

  ask(path: string, { method = "GET", headers = {} }: Asked = {}): Promise<Reply> {
    const { host = "web.shop", ...rest } = headers;
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ":path": path, ":method": method, ":authority": host, ...rest });
      let reply = { status: 0, headers: {} as IncomingHttpHeaders };
      let body = "";
      stream.on("response", (fields) => {
        reply = { status: Number(fields[":status"]), headers: fields };
      });
      stream.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      stream.on("end", () => resolve({ ...reply, body }));
      stream.on("error", reject);
      stream.end();
    });
  }

  close(): void {
    this.#session.destroy();
  }
}
