/** Requests through both sides of a proxy over real sockets, watched by access log, tracing and tap; spans arrive at a collector over gRPC. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Server as GrpcServer, ServerCredentials, type sendUnaryData, status } from "@grpc/grpc-js";
import {
  type ExportTraceServiceRequest,
  type ExportTraceServiceResponse,
  TraceServiceService,
} from "../../../runtime/api/gen/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import type { KeyValue } from "../../../runtime/api/gen/opentelemetry/proto/common/v1/common.ts";
import type { Span } from "../../../runtime/api/gen/opentelemetry/proto/trace/v1/trace.ts";
import { ObservedWorld, PARENT, SAMPLED, TRACE } from "./support/observed-world.ts";
import { until } from "./support/until.ts";

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
  run: (world: ObservedWorld, collector: Collector) => Promise<void>,
  options: { maxWaiting?: number } = {},
): Promise<void> {
  const collector = new Collector();
  const made = new ObservedWorld(await collector.start(), options);
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
});
