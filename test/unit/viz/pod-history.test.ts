import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PodHistory } from "../../../runtime/controller/viz/history/pod-history.ts";
import { Scrape } from "../../../runtime/controller/viz/history/scrape.ts";
import {
  HTTP_VALUES,
  type SeriesKey,
  SeriesKeys,
  TCP_VALUES,
} from "../../../runtime/controller/viz/history/series-key.ts";
import { MetricsRegistry } from "../../../runtime/proxy/metrics/registry.ts";

type Labels = readonly (readonly [string, string])[];

const INBOUND: Labels = [
  ["direction", "inbound"],
  ["target_addr", "10.0.0.1:8080"],
  ["target_ip", "10.0.0.1"],
  ["target_port", "8080"],
];
const SECURED: Labels = [
  ["tls", "true"],
  ["client_id", "load.shop.serviceaccount.identity.weft.cluster.local"],
];
const PLAIN: Labels = [
  ["tls", "no_identity"],
  ["no_tls_reason", "no_tls_from_remote"],
];
const route = (name: string): Labels => [
  ["route_group", ""],
  ["route_kind", "default"],
  ["route_name", name],
];

/** A proxy's registry with the process figures that the proxy's main adds. */
function proxy(startTimeSeconds: number, uptimeSeconds: () => number): MetricsRegistry {
  const registry = new MetricsRegistry(600_000);
  registry.read(() => [
    { name: "process_start_time_seconds", type: "gauge", help: "", value: startTimeSeconds },
    { name: "process_uptime_seconds_total", type: "counter", help: "", value: uptimeSeconds() },
  ]);
  return registry;
}

function scrape(text: string, keys: SeriesKeys): Scrape {
  const made = new Scrape(keys);
  made.push(text);
  made.end();
  return made;
}

const read = (registry: MetricsRegistry, keys: SeriesKeys): Scrape => scrape([...registry.render()].join(""), keys);

function history(): PodHistory {
  return new PodHistory("shop", "web-1", { kind: "Deployment", name: "web" }, "web");
}

function amountsOf(pod: PodHistory, start: number, wanted: Partial<SeriesKey>): Float64Array {
  const found = pod
    .window(start)
    .series.filter(({ key }) =>
      Object.entries(wanted).every(([field, value]) => key[field as keyof SeriesKey] === value),
    );
  assert.equal(found.length, 1, `series with ${JSON.stringify(wanted)}`);
  return found[0]!.amounts;
}

describe("a pod's history", () => {
  it("counts what a real registry counted between two scrapes, status codes and routes added up", () => {
    const registry = proxy(1000, () => 3600);
    const keys = new SeriesKeys();
    const pod = history();
    const http = registry.http([...INBOUND, ...SECURED, ...route("default")]);
    const other = registry.http([...INBOUND, ...SECURED, ...route("cart")]);
    http.response(200, 3, false);
    pod.add(read(registry, keys), 10_000, 0);
    // The first scrape of an old process tells where it stands, no more.
    assert.equal(pod.window(0).span, undefined);
    for (let index = 0; index < 8; index++) http.response(200, 3, false);
    other.response(404, 70, false);
    other.response(503, 450, true);
    pod.add(read(registry, keys), 20_000, 0);
    const amounts = amountsOf(pod, 10_000, { protocol: "http" });
    assert.equal(amounts[HTTP_VALUES.success], 9);
    assert.equal(amounts[HTTP_VALUES.failure], 1);
    // Bounds 1 2 3 …: 3 ms fall into the third bucket, 70 into (50, 100], 450 into (400, 500].
    assert.equal(amounts[HTTP_VALUES.firstBucket + 2], 8);
    assert.equal(amounts[HTTP_VALUES.firstBucket + 10], 1);
    assert.equal(amounts[HTTP_VALUES.firstBucket + 14], 1);
    assert.deepEqual(pod.window(10_000).span, { from: 10_000, to: 20_000 });
  });

  it("leaves requests of probes out, and remembers that the port carries HTTP", () => {
    const registry = proxy(1000, () => 1);
    const keys = new SeriesKeys();
    const pod = history();
    registry.http([...INBOUND, ...PLAIN, ...route("probe")]).response(200, 1, false);
    pod.add(read(registry, keys), 20_000, 0);
    assert.deepEqual(pod.window(0).series, []);
    assert.deepEqual([...pod.httpPorts], ["8080"]);
  });

  it("counts a young process from its start", () => {
    const registry = proxy(1000, () => 4);
    const keys = new SeriesKeys();
    const pod = history();
    registry.http([...INBOUND, ...PLAIN]).response(200, 1, false);
    pod.add(read(registry, keys), 20_000, 0);
    assert.deepEqual(pod.window(0).span, { from: 16_000, to: 20_000 });
    assert.equal(amountsOf(pod, 0, { tls: false })[HTTP_VALUES.success], 1);
  });

  it("takes a restarted proxy's counters from zero", () => {
    const keys = new SeriesKeys();
    const pod = history();
    const first = proxy(1000, () => 100);
    const before = first.http([...INBOUND, ...PLAIN]);
    for (let index = 0; index < 50; index++) before.response(200, 1, false);
    pod.add(read(first, keys), 20_000, 15_000);
    const second = proxy(1200, () => 5);
    const after = second.http([...INBOUND, ...PLAIN]);
    // More than before: only the start time tells that these are others.
    for (let index = 0; index < 60; index++) after.response(200, 1, false);
    pod.add(read(second, keys), 40_000, 15_000);
    assert.equal(amountsOf(pod, 0, {})[HTTP_VALUES.success], 60);
    // From the new process' start on.
    assert.deepEqual(pod.window(0).span, { from: 35_000, to: 40_000 });
  });

  it("is not misled by a series that the proxy forgets while it is idle and shows again", () => {
    const keys = new SeriesKeys();
    const pod = history();
    const line = (status: number, count: number): string =>
      `response_total{direction="inbound",target_port="8080",tls="true",client_id="a",status_code="${status}",classification="success"} ${count}\n`;
    const base = "process_start_time_seconds 1000\nprocess_uptime_seconds_total 5000\n";
    pod.add(scrape(base + line(200, 1000) + line(404, 500), keys), 10_000, 0);
    pod.add(scrape(base + line(200, 1001), keys), 20_000, 0);
    assert.equal(amountsOf(pod, 10_000, {})[HTTP_VALUES.success], 1);
    pod.add(scrape(base + line(200, 1002) + line(404, 503), keys), 30_000, 0);
    assert.equal(amountsOf(pod, 20_000, {})[HTTP_VALUES.success], 1 + 3);
  });

  it("knows open connections, bytes, and the side of the mesh they are counted on", () => {
    const registry = proxy(1000, () => 1);
    const keys = new SeriesKeys();
    const pod = history();
    const src = registry.tcp([["direction", "inbound"], ["peer", "src"], ["target_port", "7070"], ...SECURED]);
    const dst = registry.tcp([["direction", "inbound"], ["peer", "dst"], ["target_port", "7070"], ...SECURED]);
    src.opened();
    src.opened();
    src.read(100);
    src.wrote(40);
    src.closed("");
    dst.opened();
    dst.read(7);
    pod.add(read(registry, keys), 10_000, 0);
    const [series, ...more] = pod.window(0).series;
    assert.deepEqual(more, []);
    assert.equal(series?.open, 1);
    assert.deepEqual(
      [TCP_VALUES.opened, TCP_VALUES.read, TCP_VALUES.write].map((place) => series?.amounts[place]),
      [2, 100, 40],
    );
  });

  it("tells destinations apart by service and workload, not by pod", () => {
    const registry = proxy(1000, () => 1);
    const keys = new SeriesKeys();
    const pod = history();
    for (const name of ["web-1", "web-2"]) {
      registry
        .http([
          ["direction", "outbound"],
          ["authority", "web.shop.svc.cluster.local:80"],
          ["target_addr", `10.0.0.${name.at(-1)}:8080`],
          ["target_port", "8080"],
          ["tls", "true"],
          ["server_id", "web.shop.serviceaccount.identity.weft.cluster.local"],
          ["dst_namespace", "shop"],
          ["dst_service", "web"],
          ["dst_deployment", "web"],
          ["dst_pod", name],
        ])
        .response(200, 1, false);
    }
    registry
      .http([
        ["direction", "outbound"],
        ["tls", "no_identity"],
      ])
      .response(200, 1, false);
    pod.add(read(registry, keys), 10_000, 0);
    const { series } = pod.window(0);
    assert.equal(series.length, 1);
    assert.equal(series[0]?.amounts[HTTP_VALUES.success], 2);
    assert.deepEqual(series[0]?.key.destination, {
      namespace: "shop",
      service: "web",
      workloadKind: "Deployment",
      workload: "web",
    });
    assert.equal(pod.calls("shop"), true);
    assert.equal(pod.calls("other"), false);
  });

  it("refuses an answer that is no proxy's", () => {
    assert.throws(() => scrape("<html>login</html>\n", new SeriesKeys()), /process_start_time_seconds/);
  });
});
