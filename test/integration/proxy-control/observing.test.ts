/** Requests through both sides of a proxy over real sockets, watched by access log, tracing and tap; spans arrive at a collector over gRPC. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, request as send } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Server as GrpcServer, ServerCredentials, type sendUnaryData, status } from "@grpc/grpc-js";
import {
  type ExportTraceServiceRequest,
  type ExportTraceServiceResponse,
  TraceServiceService,
} from "../../../runtime/api/gen/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import type { KeyValue } from "../../../runtime/api/gen/opentelemetry/proto/common/v1/common.ts";
import type { Span } from "../../../runtime/api/gen/opentelemetry/proto/trace/v1/trace.ts";
import { AccessLog } from "../../../runtime/proxy/access-log/access-log.ts";
import { createGrpcClient } from "../../../runtime/proxy/control/grpc-client.ts";
import { startInbound } from "../../../runtime/proxy/inbound/inbound.ts";
import { startOutbound } from "../../../runtime/proxy/outbound/outbound.ts";
import { TapWatchers } from "../../../runtime/proxy/tap/watchers.ts";
import { SpanExporter } from "../../../runtime/proxy/trace/exporter.ts";
import { resourceAttributes } from "../../../runtime/proxy/trace/resource.ts";
import { Tracer } from "../../../runtime/proxy/trace/tracer.ts";
import { createTransport } from "../../../runtime/proxy/transport/transport.ts";
import { makeMesh } from "../proxy-data-plane/support/certificates.ts";
import { Recorder, StaticTargets, staticIdentity, staticPolicies } from "../proxy-data-plane/support/static.ts";
import { silent } from "./support/clients.ts";
import { until } from "./support/until.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const SAMPLED = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: "vendor=x" };

/** client → outbound side → inbound side → application, in one process. */
class World {
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

/** A collector that keeps what it is sent. */
class Collector {
  readonly requests: ExportTraceServiceRequest[] = [];
  readonly #server = new GrpcServer();
  rejects = 0n;
  unwell = false;

  async start(port = 0): Promise<number> {
    this.#server.addService(TraceServiceService, {
      export: (
        call: { request: ExportTraceServiceRequest },
        callback: sendUnaryData<ExportTraceServiceResponse>,
      ): void => {
        this.requests.push(call.request);
        if (this.unwell) callback({ code: status.UNAVAILABLE, details: "no room" });
        else callback(null, { partialSuccess: { rejectedSpans: this.rejects, errorMessage: "" } });
      },
    });
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
  }

  get spans(): Span[] {
    return this.requests.flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    );
  }

  close(): void {
    this.#server.forceShutdown();
  }
}

async function world(
  run: (world: World, collector: Collector) => Promise<void>,
  options: { maxWaiting?: number } = {},
): Promise<void> {
  const collector = new Collector();
  const made = new World(await collector.start(), options);
  try {
    await made.start();
    await run(made, collector);
  } finally {
    made.close();
    collector.close();
  }
}

const attribute = (attributes: readonly KeyValue[], key: string): unknown =>
  attributes.find((one) => one.key === key)?.value?.value?.value;

describe("those who watch requests", () => {
  it("see spans that lead from the client over both sides to the application", () =>
    world(async (it, collector) => {
      assert.equal(await it.ask("/books?id=1", { ...SAMPLED, "user-agent": "test" }), 200);
      await until("both spans", () => collector.spans.length === 2);
      const outbound = collector.spans.find(({ kind }) => kind === 3);
      const inbound = collector.spans.find(({ kind }) => kind === 2);
      assert.ok(outbound !== undefined && inbound !== undefined);
      assert.equal(outbound.parentSpanId.toString("hex"), PARENT);
      assert.equal(inbound.parentSpanId.toString("hex"), outbound.spanId.toString("hex"));
      assert.equal(it.got[0]?.["traceparent"], `00-${TRACE}-${inbound.spanId.toString("hex")}-01`);
      assert.equal(it.got[0]?.["tracestate"], "vendor=x");
      for (const span of [outbound, inbound]) {
        assert.equal(span.traceId.toString("hex"), TRACE);
        assert.equal(span.name, "/books");
        assert.equal(span.traceState, "vendor=x");
        const took = Number(span.endTimeUnixNano - span.startTimeUnixNano) / 1e6;
        assert.ok(took > 0 && took < 2_000, `${took} ms`);
        assert.ok(Math.abs(Number(span.endTimeUnixNano / 1_000_000n) - Date.now()) < 5_000);
        for (const [key, value] of Object.entries({
          "http.request.method": "GET",
          "url.path": "/books",
          "url.query": "id=1",
          "url.scheme": "http",
          "server.address": "web",
          "server.port": 80n,
          "http.response.status_code": 200n,
          "user_agent.original": "test",
          direction: span === inbound ? "inbound" : "outbound",
        })) {
          assert.equal(attribute(span.attributes, key), value, key);
        }
        assert.equal(span.status, undefined);
      }
      const resource = collector.requests[0]?.resourceSpans[0]?.resource?.attributes ?? [];
      assert.equal(attribute(resource, "service.name"), "linkerd-proxy");
      assert.equal(attribute(resource, "host.name"), "web-0");
      assert.equal(attribute(resource, "k8s.pod.uid"), "7");
      assert.equal(attribute(resource, "process.pid"), BigInt(process.pid));
      await until("the collector's word", () => it.counter("opentelemetry_span_exports") === 2);
    }));

  it("make no span of what nobody samples, and change nothing of it", () =>
    world(async (it, collector) => {
      const unsampled = `00-${TRACE}-${PARENT}-00`;
      await it.ask("/a");
      await it.ask("/b", { traceparent: unsampled });
      await it.ask("/c", { traceparent: "nonsense" });
      await it.ask("/d", { b3: `${TRACE}-${PARENT}-1` });
      await until("the span of the one that is sampled", () => collector.spans.length === 2);
      assert.deepEqual(
        it.got.map(({ traceparent }) => traceparent),
        [undefined, unsampled, "nonsense", undefined],
      );
      const inbound = collector.spans.find(({ kind }) => kind === 2);
      const outbound = collector.spans.find(({ kind }) => kind === 3);
      const ids = [inbound, outbound].map((span) => span?.spanId.toString("hex"));
      assert.equal(it.got[3]?.["b3"], `${TRACE}-${ids[0]}-1-${ids[1]}`);
    }));

  it("see failures, breaks and the proxy's own refusals", () =>
    world(async (it, collector) => {
      assert.equal(await it.ask("/fail", SAMPLED), 503);
      assert.equal(await it.ask("/break", SAMPLED), 502);
      assert.equal(await it.ask("/forbidden", SAMPLED), 403);
      await until("all spans", () => collector.spans.length === 6);
      const of = (name: string): [unknown, unknown, unknown] => {
        const span = collector.spans.find((one) => one.kind === 2 && one.name === name);
        const attributes = span?.attributes ?? [];
        const code = attribute(attributes, "http.response.status_code");
        return [code, attribute(attributes, "error.type"), span?.status?.code];
      };
      assert.deepEqual(of("/fail"), [503n, "503", 2]);
      assert.deepEqual(of("/break"), [502n, "reset", 2]);
      assert.deepEqual(of("/forbidden"), [403n, undefined, undefined]);
      const logged = it.lines.map((line) => JSON.parse(line) as { uri: string; status: number });
      assert.deepEqual(
        logged.map(({ uri, status: code }) => [uri, code]),
        [
          ["http://web:80/fail", 503],
          ["http://web:80/break", 502],
          ["http://web:80/forbidden", 403],
        ],
      );
    }));

  it("lose spans, count them, and go on, where the collector is away, full or picky", () =>
    world(async (it, collector) => {
      collector.unwell = true;
      await it.ask("/a", SAMPLED);
      await until("spans that are lost", () => it.counter("weft_span_drops_total", 'reason="export_failed"') === 2);
      collector.unwell = false;
      collector.rejects = 1n;
      await it.ask("/b", SAMPLED);
      await until("a rejected span", () => it.counter("weft_span_drops_total", 'reason="rejected"') >= 1);
      collector.rejects = 0n;
      const before = it.counter("opentelemetry_span_exports");
      await it.ask("/c", SAMPLED);
      await until("spans that arrive", () => it.counter("opentelemetry_span_exports") >= before + 2);
      collector.close();
      await it.ask("/d", SAMPLED);
      await until(
        "spans for nobody",
        () => it.counter("weft_span_drops_total", 'reason="export_failed"') === 4,
        15_000,
      );
    }));

  it("keep no more spans than they may", () =>
    world(
      async (it) => {
        for (let count = 0; count < 4; count++) await it.ask("/a", SAMPLED);
        await it.exporter.flush();
        const told = it.counter("opentelemetry_span_exports");
        const dropped = it.counter("weft_span_drops_total", 'reason="queue_full"');
        assert.equal(told + dropped, 8);
        assert.ok(told >= 1);
      },
      { maxWaiting: 1 },
    ));

  const collectorProgram = process.env["WEFT_OTEL_COLLECTOR"];
  it("send what OpenTelemetry's own collector understands", {
    skip: collectorProgram === undefined ? "WEFT_OTEL_COLLECTOR names no collector's program" : false,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "weft-otel-"));
    const port = await freePort();
    const file = join(folder, "config.yaml");
    writeFileSync(
      file,
      JSON.stringify({
        receivers: { otlp: { protocols: { grpc: { endpoint: `127.0.0.1:${port}` } } } },
        exporters: { debug: { verbosity: "detailed" } },
        service: {
          telemetry: { metrics: { level: "none" } },
          pipelines: { traces: { receivers: ["otlp"], exporters: ["debug"] } },
        },
      }),
    );
    const child = spawn(collectorProgram ?? "", ["--config", `file:${file}`], { stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    child.stderr.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const it = new World(port);
    try {
      await until("the collector", () => output.includes("Everything is ready"), 10_000);
      await it.start();
      assert.equal(await it.ask("/books?id=1", SAMPLED), 200);
      await until("both spans", () => output.split("Span #").length === 3, 10_000).catch(() => assert.fail(output));
      assert.match(output, new RegExp(`Trace ID\\s+: ${TRACE}`));
      assert.match(output, new RegExp(`Parent ID\\s+: ${PARENT}`));
      assert.match(output, /Kind\s+: Server/);
      assert.match(output, /Kind\s+: Client/);
      assert.match(output, /TraceState\s+: vendor=x/);
      assert.match(output, /-> service\.name: Str\(linkerd-proxy\)/);
      assert.match(output, /-> http\.response\.status_code: Int\(200\)/);
      assert.match(output, /-> direction: Str\(inbound\)/);
    } finally {
      it.close();
      child.kill();
      rmSync(folder, { recursive: true });
    }
  });
});

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
