/** Both sides of a proxy in one process, over real sockets, watched by access log, tracing and tap. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { AccessLog } from "../../../../runtime/proxy/access-log/access-log.ts";
import { createGrpcClient } from "../../../../runtime/proxy/control/grpc-client.ts";
import { startInbound } from "../../../../runtime/proxy/inbound/inbound.ts";
import { startOutbound } from "../../../../runtime/proxy/outbound/outbound.ts";
import { TapWatchers } from "../../../../runtime/proxy/tap/watchers.ts";
import { SpanExporter } from "../../../../runtime/proxy/trace/exporter.ts";
import { resourceAttributes } from "../../../../runtime/proxy/trace/resource.ts";
import { Tracer } from "../../../../runtime/proxy/trace/tracer.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";
import { makeMesh } from "../../proxy-data-plane/support/certificates.ts";
import { Recorder, StaticTargets, staticIdentity, staticPolicies } from "../../proxy-data-plane/support/static.ts";
import { silent } from "./clients.ts";

export const TRACE = "0af7651916cd43dd8448eb211c80319c";
export const PARENT = "b7ad6b7169203331";
export const SAMPLED = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: "vendor=x" };

/** client → outbound side → inbound side → application, in one process. */
export class ObservedWorld {
  readonly lines: string[] = [];
  readonly metrics = new Recorder();
  readonly tap = new TapWatchers();
  readonly exporter: SpanExporter;
  /** Heads of the requests that the application got. */
  readonly got: IncomingHttpHeaders[] = [];
  readonly #closers: (() => void)[] = [];
  #port = 0;

  constructor(collectorPort: number, options: { maxWaiting?: number } = {}) {
    const client = createGrpcClient({
      address: { host: "127.0.0.1", port: collectorPort },
      observer: { started: () => undefined, ended: () => undefined },
    });
    const resource = resourceAttributes(
      { serviceName: "linkerd-proxy", hostName: "web-0", extra: 'k8s.pod.uid="7"\nk8s.container.name=linkerd-proxy' },
      () => undefined,
    );
    this.exporter = new SpanExporter({ client, resource, version: "test", log: silent, delayMs: 20, ...options });
    this.#closers.push(
      () => client.close(),
      () => this.exporter.close(),
    );
  }

  async start(): Promise<void> {
    const application = createServer((request, response) => {
      this.got.push(request.headers);
      if (request.url === "/break") request.socket.destroy();
      else if (request.url === "/fail") response.writeHead(503).end("no");
      else response.end("hello");
    });
    application.listen(0, "127.0.0.1");
    await once(application, "listening");
    const original = { ip: "127.0.0.1", port: (application.address() as AddressInfo).port };
    const identity = staticIdentity(makeMesh()("web"));
    const common = {
      listen: [{ ip: "127.0.0.1", port: 0 }],
      identity,
      metrics: this.metrics,
      tap: this.tap,
      tracer: new Tracer(this.exporter),
      ips: new Set<string>(),
      connectTimeoutMs: 1_000,
    };
    const inbound = await startInbound({
      ...common,
      transport: createTransport(() => original),
      accessLog: new AccessLog("json", { write: (line) => this.lines.push(line) }),
      policies: staticPolicies({ [original.port]: { forbidden: "/forbidden" } }),
      detectTimeoutMs: 10_000,
    });
    const [{ port } = { port: 0 }] = inbound.addresses;
    const service = { ip: "10.96.0.1", port: 80 };
    const targets = new StaticTargets();
    targets.set("10.96.0.1:80", {
      endpoints: [{ address: `127.0.0.1:${port}`, ip: "127.0.0.1", port, labels: [] }],
    });
    const outbound = await startOutbound({ ...common, transport: createTransport(() => service), targets });
    this.#port = outbound.addresses[0]?.port ?? 0;
    this.#closers.push(
      () => application.closeAllConnections(),
      () => application.close(),
      () => inbound.close(),
      () => outbound.close(),
    );
  }

  ask(path: string, headers: Record<string, string> = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      const options = {
        host: "127.0.0.1",
        port: this.#port,
        path,
        agent: false,
        headers: { host: "web:80", ...headers },
      };
      const request = send(options, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
        response.on("error", reject);
      });
      request.on("error", reject);
      request.end();
    });
  }

  counter(name: string, labels?: string): number {
    const found = this.exporter.readings().find((reading) => reading.name === name && reading.labels === labels);
    return found?.value ?? Number.NaN;
  }

  close(): void {
    for (const close of this.#closers.toReversed()) close();
  }
}
