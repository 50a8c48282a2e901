import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { BalancerTelling } from "../../../../runtime/proxy/balance/telling.ts";
import { ConnectionSeries } from "../../../../runtime/proxy/metrics/connection-series.ts";
import { LATENCY_BOUNDS_MS, LatencyHistogram } from "../../../../runtime/proxy/metrics/histogram.ts";
import { processReadings } from "../../../../runtime/proxy/metrics/process.ts";
import { MetricsRegistry } from "../../../../runtime/proxy/metrics/registry.ts";
import {
  InboundRouteSeries,
  PolicyBackendSeries,
  PolicyRouteSeries,
  ProfileRouteSeries,
  ProfileTrySeries,
} from "../../../../runtime/proxy/metrics/route-series.ts";
import { readStrictly } from "./strict-exposition.ts";

function withRegistry<Result>(run: (registry: MetricsRegistry) => Result, retainMs = 600_000): Result {
  const registry = new MetricsRegistry(retainMs);
  const close = (): void => registry.close();
  const result = run(registry);
  if (result instanceof Promise) result.finally(close);
  else close();
  return result;
}

const text = (registry: MetricsRegistry, families?: readonly string[]): string =>
  [...registry.render(families && new Set(families))].join("");

describe("metrics", () => {
  it("count requests, responses and latencies as the reference writes them", () =>
    withRegistry((registry) => {
      const series = registry.http([
        ["direction", "inbound"],
        ["tls", "true"],
      ]);
      for (const latency of [0.4, 1, 1.2, 7, 60_000]) {
        series.request();
        series.response(200, latency, false);
      }
      series.request();
      series.response(503, 3, true);
      const lines = text(registry).split("\n");
      const value = (start: string): string | undefined =>
        lines
          .find((line) => line.startsWith(start))
          ?.split(" ")
          .at(-1);
      const own = 'direction="inbound",tls="true"';
      assert.equal(value(`request_total{${own}}`), "6");
      assert.equal(
        value(`response_total{${own},status_code="200",classification="success",grpc_status="",error=""}`),
        "5",
      );
      assert.equal(
        value(`response_total{${own},status_code="503",classification="failure",grpc_status="",error=""}`),
        "1",
      );
      const bucket = (le: string): string | undefined =>
        value(`response_latency_ms_bucket{${own},status_code="200",le="${le}"}`);
      assert.deepEqual(["1", "2", "5", "10", "50000", "+Inf"].map(bucket), ["2", "3", "3", "4", "4", "5"]);
      assert.equal(value(`response_latency_ms_count{${own},status_code="200"}`), "5");
      assert.equal(value(`response_latency_ms_sum{${own},status_code="200"}`), "60009.6");
      assert.equal(lines.filter((line) => line.startsWith("# TYPE response_latency_ms ")).length, 1);
    }));

  it("follow connections open and closed", () =>
    withRegistry((registry) => {
      const series = registry.tcp([["peer", "src"]]);
      series.opened();
      series.opened();
      series.read(10);
      series.wrote(20);
      series.closed("ECONNRESET");
      const lines = text(registry)
        .split("\n")
        .filter((line) => !line.startsWith("#"));
      assert.deepEqual(lines.slice(0, 5), [
        'tcp_open_total{peer="src"} 2',
        'tcp_open_connections{peer="src"} 1',
        'tcp_read_bytes_total{peer="src"} 10',
        'tcp_write_bytes_total{peer="src"} 20',
        'tcp_close_total{peer="src",errno="ECONNRESET"} 1',
      ]);
    }));

  it("of one label set are one series, and values are escaped", () =>
    withRegistry((registry) => {
      registry.counter("inbound_http_errors_total", [["error", 'a "b"\\\n']]).add();
      registry.counter("inbound_http_errors_total", [["error", 'a "b"\\\n']]).add(2);
      assert.match(text(registry), /inbound_http_errors_total\{error="a \\"b\\"\\\\\\n"\} 3\n/);
    }));

  it("are left out when not asked for", () =>
    withRegistry((registry) => {
      registry.http([]).request();
      registry.tcp([]).opened();
      registry.read(() => [{ name: "process_x", type: "gauge", help: "x", value: 1 }]);
      assert.equal(
        text(registry, ["request_total"]),
        "# HELP request_total Total count of HTTP requests\n# TYPE request_total counter\nrequest_total 1\n# EOF\n",
      );
      assert.match(text(registry, ["process_x"]), /^# HELP process_x x\n# TYPE process_x gauge\nprocess_x 1\n# EOF\n$/);
    }));

  it("are forgotten when idle, not while a connection is open, and come back when used", () =>
    withRegistry(async (registry) => {
      const idle = registry.http([["name", "idle"]]);
      idle.request();
      const open = registry.tcp([["name", "open"]]);
      open.opened();
      await sleep(400);
      assert.doesNotMatch(text(registry), /name="idle"/);
      assert.match(text(registry), /tcp_open_connections\{name="open"\} 1/);
      idle.request();
      assert.match(text(registry), /request_total\{name="idle"\} 2/);
    }, 100));

  it("tell since when a balancer's gate is open or shut, and how often it was", () =>
    withRegistry((registry) => {
      const state = { size: 2, ready: 1, queueLength: 0 };
      const telling = new BalancerTelling(registry, "http", [["parent_name", "web"]], state, 3_000);
      const value = (name: string): number =>
        Number(new RegExp(`^outbound_http_balancer_queue_gate_${name}\\{.*\\} (.*)$`, "m").exec(text(registry))?.[1]);
      const isNow = (seconds: number): boolean => Math.abs(seconds - Date.now() / 1_000) < 5;
      assert.ok(isNow(value("open_time_seconds")));
      assert.deepEqual([value("open_total"), value("shut_time_seconds")], [1, 0]);
      telling.gate("shut");
      assert.ok(isNow(value("shut_time_seconds")));
      assert.deepEqual([value("shut_total"), value("open_time_seconds")], [1, 0]);
      telling.gate("open");
      assert.deepEqual([value("open_total"), value("shut_time_seconds")], [2, 0]);
      telling.close();
    }));

  it("sum up bytes by zone, of what is forgotten too", async () => {
    const endpoint = (ip: string, locality?: string): [string, string][] => [
      ["direction", "outbound"],
      ["peer", "dst"],
      ["target_ip", ip],
      ...(locality === undefined ? [] : [["dst_zone_locality", locality] as [string, string]]),
    ];
    await withRegistry(async (registry) => {
      const near = registry.tcp(endpoint("10.0.0.1", "local"));
      near.read(10);
      near.wrote(1);
      registry.tcp(endpoint("10.0.0.2", "local")).read(5);
      registry.tcp(endpoint("10.0.0.3", "remote")).wrote(7);
      registry.tcp(endpoint("10.0.0.4")).wrote(9);
      registry.tcp(endpoint("10.0.0.5", "unknown")).read(2);
      registry
        .tcp([
          ["direction", "outbound"],
          ["peer", "src"],
        ])
        .read(1_000);
      const costs = (): Record<string, string> =>
        Object.fromEntries(
          text(registry, ["outbound_tcp_transfer_cost_bytes_total"])
            .split("\n")
            .filter((line) => line.startsWith("outbound"))
            .map((line) => [
              /op="(\w+),?",zone_locality="(\w+)"/.exec(line)?.slice(1).join(" ") ?? "",
              line.split(" ")[1] ?? "",
            ]),
        );
      const expected = {
        "Recv Local": "15",
        "Send Local": "1",
        "Recv Remote": "0",
        "Send Remote": "7",
        "Recv Unknown": "2",
        "Send Unknown": "9",
      };
      assert.deepEqual(costs(), expected);
      await sleep(400);
      assert.doesNotMatch(text(registry), /tcp_read_bytes_total/, "all of them are forgotten");
      assert.deepEqual(costs(), expected);
      near.read(10);
      registry.tcp(endpoint("10.0.0.2", "local")).read(1);
      assert.deepEqual(costs(), { ...expected, "Recv Local": "26" });
    }, 100);
  });

  it("tell gRPC's status and what went wrong", () =>
    withRegistry((registry) => {
      const series = registry.http([]);
      series.response(200, 1, true, 13);
      series.response(200, 1, false, 0);
      series.response(502, 1, true, undefined, "IO");
      const written = text(registry);
      assert.match(written, /response_total\{status_code="200",classification="failure",grpc_status="13",error=""\} 1/);
      assert.match(written, /response_total\{status_code="200",classification="success",grpc_status="0",error=""\} 1/);
      assert.match(written, /response_total\{status_code="502",classification="failure",grpc_status="",error="IO"\} 1/);
      assert.match(written, /response_latency_ms_count\{status_code="200"\} 2/);
    }));

  it("of all kinds keep every rule of the format", () =>
    withRegistry((registry) => {
      const labels = [
        ["parent_name", 'a "b" \\ c\nd'],
        ["route_name", ""],
      ] as const;
      const inbound = new InboundRouteSeries(registry, "http", [["srv_name", "x"]], labels.slice(1));
      const route = new PolicyRouteSeries(registry, "grpc", labels);
      const backend = new PolicyBackendSeries(registry, "http", labels);
      const profile = new ProfileRouteSeries(registry, [["dst", "web:80"]], (status) => status >= 500);
      const tries = new ProfileTrySeries(registry, [["dst", "web:80"]], (status) => status >= 500);
      for (const status of [0, 200, 503]) {
        for (const each of [inbound, route, profile]) {
          each.request();
          each.requestFrame(2_000);
          each.responseFrame(20);
          each.response(status, 30, 20, status === 200 ? 0 : undefined, status === 0 ? "IO" : "");
          each.retried("retry");
          each.retried("overflow");
        }
        for (const each of [backend, tries]) {
          each.request();
          each.responseFrame(200_000);
          each.response(status, 30, 20, undefined, "");
        }
      }
      const connections = new ConnectionSeries(registry, "outbound", labels.slice(0, 1));
      connections.accepted("detect");
      connections.detected("http/1", 3);
      connections.routeOpened("tls", labels.slice(1));
      connections.routeClosed("tls", labels.slice(1), "forbidden");
      const state = { size: 3, ready: 2, queueLength: 1 };
      const telling = new BalancerTelling(registry, "http", [["backend_name", "web"]], state, 3_000);
      telling.updated("Reset");
      telling.waited(12);
      telling.gate("shut");
      registry.tcp([["peer", "src"]]).closed("ECONNRESET");
      registry.control([]).response(200, 1, false);
      registry.read(processReadings("test"));
      const families = readStrictly(text(registry));
      const value = (name: string, sample: string, ...wanted: string[]): number | undefined =>
        families
          .get(name)
          ?.samples.find(
            (one) =>
              one.name === sample &&
              wanted.every((text) => [...one.labels].map((pair) => pair.join("=")).includes(text)),
          )?.value;
      assert.equal(
        value("inbound_http_statuses_total", "inbound_http_statuses_total", "status=503", "parent_name=x"),
        1,
      );
      const duration = "inbound_http_response_duration_seconds";
      assert.equal(value(duration, `${duration}_bucket`, "le=0.05"), 3);
      const grpc = "outbound_grpc_route_request_statuses_total";
      assert.equal(value(grpc, grpc, "grpc_status=OK", "error="), 1);
      assert.equal(value(grpc, grpc, "grpc_status=UNKNOWN", "error=IO"), 1);
      const frames = "outbound_http_route_backend_response_frame_size_bytes";
      assert.equal(value(frames, `${frames}_bucket`, "le=10240"), 0);
      assert.equal(value(frames, `${frames}_count`), 3);
      assert.equal(value("route_response_total", "route_response_total", "classification=failure", "error=IO"), 1);
      assert.equal(value("route_retryable_total", "route_retryable_total", "skipped=no_budget"), 3);
      assert.equal(value("route_actual_request_total", "route_actual_request_total"), 3);
      const endpoints = "outbound_http_balancer_endpoints";
      assert.equal(value(endpoints, endpoints, "endpoint_state=ready"), 2);
      assert.equal(value(endpoints, endpoints, "endpoint_state=pending"), 1);
      telling.close();
      assert.doesNotMatch(text(registry), /balancer_endpoints\{/, "a balancer that is closed has no gauges");
    }));

  it("of 2,000 series come in slices that each take little", () =>
    withRegistry((registry) => {
      for (let index = 0; index < 2_000; index++) {
        const series = registry.http([
          ["direction", "outbound"],
          ["target_addr", `10.1.${index >> 8}.${index & 255}:8080`],
          ["tls", "true"],
          ["server_id", "web.shop.serviceaccount.identity.weft.cluster.local"],
          ["dst_pod", `web-${index}`],
        ]);
        series.request();
        series.response(200, index % 100, false);
      }
      let longest = 0;
      let began = performance.now();
      let characters = 0;
      for (const slice of registry.render()) {
        longest = Math.max(longest, performance.now() - began);
        characters += slice.length;
        assert.ok(slice.length < 64 * 1024);
        began = performance.now();
      }
      assert.ok(characters > 5_000_000, `${characters}`);
      assert.ok(longest < 50, `a slice took ${longest} ms`);
    }));

  it("put every sample into the first bucket that holds it", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 100_000, noNaN: true }), (milliseconds) => {
        const histogram = new LatencyHistogram();
        histogram.record(milliseconds);
        const expected = LATENCY_BOUNDS_MS.findIndex((bound) => milliseconds <= bound);
        assert.equal(histogram.counts.indexOf(1), expected === -1 ? LATENCY_BOUNDS_MS.length : expected);
      }),
    );
  });
});
