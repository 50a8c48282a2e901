/** An outbound side in this process, over real sockets, that gets what it knows from a scripted control plane; with servers and clients. */
import { once } from "node:events";
import {
  Agent,
  createServer as createHttp1Server,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as sendHttp1,
} from "node:http";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type ServerHttp2Stream,
} from "node:http2";
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { Discovery } from "../../../../runtime/proxy/outbound/discovery.ts";
import type { OutboundOptions } from "../../../../runtime/proxy/outbound/options.ts";
import { startOutbound } from "../../../../runtime/proxy/outbound/outbound.ts";
import { parseNetwork } from "../../../../runtime/proxy/policy/networks.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";
import { noTap, Recorder } from "../../proxy-data-plane/support/static.ts";
import { createTestAuthority } from "./authority.ts";
import { connect, silent } from "./clients.ts";
import { ControlPlane } from "./control-plane.ts";
import { add, type EndpointSpec } from "./messages.ts";

export type Version = "HTTP/1.1" | "HTTP/2";

export const VERSIONS: readonly Version[] = ["HTTP/1.1", "HTTP/2"];

/** The authority that a balancer of the shop's Service `name` asks Destination.Get for. */
export const pathOf = (name: string, port = 80): string => `${name}.shop.svc.cluster.local:${port}`;

export interface Served {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** All of it: a request is served when it has ended. */
  readonly body: string;
}

/** What Node's two kinds of responses have in common. */
export interface Answering {
  statusCode: number;
  readonly writable: boolean;
  setHeader(name: string, value: string): unknown;
  write(text: string): boolean;
  end(): unknown;
  end(text: string): unknown;
}

export type Handler = (request: Served, response: Answering) => void;

export interface Asked {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** The request is not ended. */
  readonly unended?: boolean;
}

export interface Reply {
  /** 0: there was no answer. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Of HTTP/2. */
  readonly trailers: IncomingHttpHeaders;
  /** The answer came to its end, and was not broken off. */
  readonly whole: boolean;
  /** Milliseconds until it was over. */
  readonly took: number;
}

export const says =
  (text: string, status = 200): Handler =>
  (_request, response) => {
    response.statusCode = status;
    response.end(text);
  };

/** Answers with the request's target and fields as JSON. */
export const echoes: Handler = ({ url, headers }, response) => {
  response.end(JSON.stringify({ url, headers }));
};

export class OutboundWorld {
  readonly plane = new ControlPlane({ authority: createTestAuthority() });
  readonly metrics = new Recorder();
  readonly log: string[] = [];
  /** Where connections to the proxy seem to have gone. */
  original = { ip: "10.96.0.1", port: 80 };
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  readonly #closers: (() => void)[] = [];
  #session: ClientHttp2Session | undefined;
  #port = 0;

  async start(options: Partial<OutboundOptions> = {}): Promise<void> {
    const clients = await connect(this.plane);
    await clients.identity.ready;
    const discovery = new Discovery({
      policyClient: clients.client(),
      destinationClient: clients.client(),
      policy: { workload: "client" },
      destination: { context: "", profileNetworks: [parseNetwork("10.0.0.0/8")] },
      streams: { initialMs: 2_000, idleMs: 60_000, lifetimeMs: 3_600_000 },
      outbound: { discoveryIdleMs: 5_000, detectTimeoutMs: 10_000 },
      log: silent,
      metrics: this.metrics,
    });
    const outbound = await startOutbound({
      transport: createTransport(() => this.original),
      listen: [{ ip: "127.0.0.1", port: 0 }],
      identity: clients.identity,
      metrics: this.metrics,
      tap: noTap,
      ips: new Set(),
      connectTimeoutMs: 1_000,
      targets: discovery,
      log: (line) => void this.log.push(line),
      ...options,
    });
    this.#port = outbound.addresses[0]?.port ?? 0;
    this.#closers.push(
      () => outbound.close(),
      () => discovery.close(),
      () => clients.close(),
    );
  }

  /**
   * Servers of HTTP, one for each handler: the endpoints of the Service `name`, where it has one.
   * @returns where they are, and the bodies of the requests they got
   */
  async serve(
    version: Version,
    name: string | undefined,
    ...handlers: Handler[]
  ): Promise<{ endpoints: EndpointSpec[]; bodies: string[] }> {
    const bodies: string[] = [];
    const endpoints: EndpointSpec[] = [];
    for (const handler of handlers) {
      const heard = (request: IncomingMessage | Http2ServerRequest, response: Answering): void => {
        let body = "";
        request.on("error", () => undefined);
        request.on("data", (chunk) => {
          body += String(chunk);
        });
        request.on("end", () => {
          bodies.push(body);
          handler({ url: request.url ?? "", headers: request.headers, body }, response);
        });
      };
      const server =
        version === "HTTP/1.1"
          ? createHttp1Server((request, response) => {
              response.on("error", () => undefined);
              heard(request, response);
            })
          : createHttp2Server((request, response) => {
              response.on("error", () => undefined);
              request.stream.on("error", () => undefined);
              heard(request, response);
            });
      endpoints.push({ ip: "127.0.0.1", port: await this.listen(server as unknown as Server) });
    }
    if (name !== undefined) this.plane.destination(pathOf(name)).first = [add(endpoints)];
    return { endpoints, bodies };
  }

  /** A server of HTTP/2, stream by stream: the endpoint of the Service `name`. `serve` is called with a request's head. */
  async serveStreams(name: string, serve: (stream: ServerHttp2Stream) => void): Promise<void> {
    const server = createHttp2Server();
    server.on("stream", (stream) => {
      stream.on("error", () => undefined);
      serve(stream);
    });
    const endpoint = { ip: "127.0.0.1", port: await this.listen(server as unknown as Server) };
    this.plane.destination(pathOf(name)).first = [add([endpoint])];
  }

  /** A server of bytes that says who it is and then what it hears: the endpoint of the Service `name` at `port`, where it has one. */
  async serveBytes(greeting: string, name?: string, port = 80): Promise<EndpointSpec> {
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.write(greeting);
      socket.pipe(socket);
    });
    const endpoint = { ip: "127.0.0.1", port: await this.listen(server) };
    if (name !== undefined) this.plane.destination(pathOf(name, port)).first = [add([endpoint])];
    return endpoint;
  }

  /** Until the world ends. @param port 0: a free one. @returns its port */
  async listen(server: Server, port = 0): Promise<number> {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    this.#closers.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return (server.address() as AddressInfo).port;
  }

  ask(version: Version, target: string, asked: Asked = {}): Promise<Reply> {
    return version === "HTTP/1.1" ? this.#askHttp1(target, asked) : this.#askHttp2(target, asked);
  }

  #askHttp1(path: string, { method = "GET", headers = {}, body, unended = false }: Asked): Promise<Reply> {
    const began = performance.now();
    return new Promise((resolve) => {
      let reply = { status: 0, headers: {} as IncomingHttpHeaders };
      let text = "";
      const over = (whole: boolean): void =>
        resolve({ ...reply, trailers: {}, body: text, whole, took: performance.now() - began });
      const options = { host: "127.0.0.1", port: this.#port, path, method, agent: this.#agent };
      const request = sendHttp1({ ...options, headers: { host: "web", ...headers } }, (response) => {
        reply = { status: response.statusCode ?? 0, headers: response.headers };
        response.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on("error", () => undefined);
        response.on("close", () => over(response.complete));
      });
      request.on("error", () => over(false));
      if (!unended) request.end(body);
      else request.write(body ?? "");
    });
  }

  #askHttp2(path: string, { method = "GET", headers = {}, body, unended = false }: Asked): Promise<Reply> {
    const began = performance.now();
    if (this.#session === undefined || this.#session.destroyed || this.#session.closed) {
      const session = connectHttp2(`http://127.0.0.1:${this.#port}`);
      session.on("error", () => undefined);
      this.#session = session;
      this.#closers.push(() => session.destroy());
    }
    const { host = "web", ...rest } = headers;
    const endStream = body === undefined && !unended;
    const stream = this.#session.request(
      { ":method": method, ":path": path, ":authority": String(host), ...rest },
      { endStream },
    );
    if (unended) stream.write(body ?? "");
    else if (body !== undefined) stream.end(body);
    return new Promise((resolve) => {
      let reply = { status: 0, headers: {} as IncomingHttpHeaders };
      let text = "";
      let ended = false;
      let trailers: IncomingHttpHeaders = {};
      stream.on("trailers", (fields) => {
        trailers = fields;
      });
      stream.on("response", (fields) => {
        reply = { status: Number(fields[":status"]), headers: fields };
      });
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      stream.on("end", () => {
        ended = stream.rstCode === 0;
        if (unended) stream.close();
      });
      stream.on("error", () => undefined);
      stream.on("close", () =>
        resolve({ ...reply, trailers, body: text, whole: ended, took: performance.now() - began }),
      );
    });
  }

  /** What is asked next comes on connections of its own. */
  async newConnections(): Promise<void> {
    this.#agent.destroy();
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined) return;
    session.destroy();
    await new Promise((resolve) => session.once("close", resolve));
  }

  /** A connection to the proxy, which has said `first`. */
  async dial(first = ""): Promise<Socket> {
    const socket = connectTcp({ host: "127.0.0.1", port: this.#port, allowHalfOpen: true });
    socket.on("error", () => undefined);
    await once(socket, "connect");
    this.#closers.push(() => socket.destroy());
    if (first !== "") socket.write(first);
    return socket;
  }

  /** All series of `name` whose labels contain each of `labels`, in sum. */
  sum(name: string, ...labels: string[]): number {
    let sum = 0;
    for (const [key, value] of this.metrics.values) {
      if (key.startsWith(`${name}{`) && labels.every((label) => key.includes(label))) sum += value;
    }
    return sum;
  }

  close(): void {
    this.#agent.destroy();
    for (const close of this.#closers.toReversed()) close();
  }
}

export async function inOutboundWorld(
  run: (world: OutboundWorld) => Promise<void>,
  options: Partial<OutboundOptions> = {},
): Promise<void> {
  const world = new OutboundWorld();
  try {
    await world.start(options);
    await run(world);
  } finally {
    world.close();
  }
}

/** What comes on a connection until it holds `end`, or is over. */
export async function hear(socket: Socket, end?: string): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (end !== undefined && text.includes(end)) break;
  }
  return text;
}
