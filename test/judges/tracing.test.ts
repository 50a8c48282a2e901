/** The receiver of OpenTelemetry's collector takes what our proxies tell of requests. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { before, describe, it } from "node:test";
import { ObservedWorld, PARENT, SAMPLED, TRACE } from "../integration/proxy-control/support/observed-world.ts";
import { until } from "../integration/proxy-control/support/until.ts";
import { buildGo } from "./support/go-programs.ts";

/** Some 100 s of processor where Go has built nothing of it yet. */
const BUILD_TIMEOUT_MS = 400_000;

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}

/** OTLP's JSON, as far as it is looked at. */
interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code?: number };
}
interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly scope: { readonly name: string }; readonly spans: readonly Span[] }[];
  }[];
}

class Collector {
  readonly batches: Batch[] = [];
  readonly #child: ChildProcess;
  readonly ready: Promise<void>;
  #output = "";

  constructor(program: string, port: number) {
    this.#child = spawn(program, [`127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "inherit"] });
    let rest = "";
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#output += chunk.toString();
      const lines = `${rest}${chunk.toString()}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("{")) this.batches.push(JSON.parse(line) as Batch);
    });
    this.ready = until("the collector", () => this.#output.includes("ready\n"), 10_000);
  }

  get spans(): Span[] {
    return this.batches.flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    );
  }

  async end(): Promise<void> {
    const over = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await over;
  }
}

const attributes = (list: readonly Attribute[]): Record<string, string | undefined> =>
  Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));

describe("OpenTelemetry's collector", () => {
  let program = "";
  before(
    () => {
      program = buildGo(".", "otel-collector");
    },
    { timeout: BUILD_TIMEOUT_MS },
  );

  it("understands what is told of a request by both sides, and of the proxy", async () => {
    const port = await freePort();
    const collector = new Collector(program, port);
    const world = new ObservedWorld(port);
    try {
      await collector.ready;
      await world.start();
      assert.equal(await world.ask("/books?id=1", SAMPLED), 200);
      assert.equal(await world.ask("/fail", SAMPLED), 503);
      await until("four spans", () => collector.spans.length === 4, 10_000);
      const of = (kind: number, name: string): Span => {
        const span = collector.spans.find((one) => one.kind === kind && one.name === name);
        assert.ok(span !== undefined, `${kind} ${name}`);
        return span;
      };
      const [server, client] = [of(2, "/books"), of(3, "/books")];
      assert.deepEqual([client.traceId, client.parentSpanId, client.traceState], [TRACE, PARENT, "vendor=x"]);
      assert.deepEqual([server.traceId, server.parentSpanId], [TRACE, client.spanId]);
      const took = Number(BigInt(server.endTimeUnixNano) - BigInt(server.startTimeUnixNano)) / 1e6;
      assert.ok(took > 0 && took < 5_000, `${took} ms`);
      const told = attributes(server.attributes);
      assert.deepEqual(
        [told["direction"], told["url.path"], told["url.query"], told["http.response.status_code"]],
        ["inbound", "/books", "id=1", "200"],
      );
      assert.equal(server.status.code, undefined);
      assert.equal(of(2, "/fail").status.code, 2);
      const [first] = collector.batches[0]?.resourceSpans ?? [];
      const resource = attributes(first?.resource.attributes ?? []);
      assert.deepEqual(
        [resource["service.name"], resource["host.name"], resource["k8s.pod.uid"], resource["process.pid"]],
        ["linkerd-proxy", "web-0", "7", String(process.pid)],
      );
      assert.equal(first?.scopeSpans[0]?.scope.name, "weft-proxy");
      await until("the collector's word", () => world.counter("opentelemetry_span_exports") === 4);
    } finally {
      world.close();
      await collector.end();
    }
  });

  it("is found again after it was away, and no request fails for it", async () => {
    const port = await freePort();
    const first = new Collector(program, port);
    const world = new ObservedWorld(port);
    let collector = first;
    try {
      await first.ready;
      await world.start();
      assert.equal(await world.ask("/before", SAMPLED), 200);
      await until("two spans", () => first.spans.length === 2, 10_000);
      await first.end();
      assert.equal(await world.ask("/away", SAMPLED), 200);
      await until("lost spans", () => world.counter("weft_span_drops_total", 'reason="export_failed"') >= 1, 10_000);
      collector = new Collector(program, port);
      await collector.ready;
      const end = performance.now() + 10_000;
      while (!collector.spans.some(({ name }) => name === "/after")) {
        assert.ok(performance.now() < end, "waited in vain for a span");
        assert.equal(await world.ask("/after", SAMPLED), 200);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } finally {
      world.close();
      await collector.end();
    }
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
