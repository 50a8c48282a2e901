import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { explain, UsageError } from "../../../runtime/cli/errors.ts";
import { Flags } from "../../../runtime/cli/flags.ts";
import { formatPlan } from "../../../runtime/cli/format/plan-lines.ts";
import { formatStats, statsJson } from "../../../runtime/cli/format/stat-table.ts";
import { formatTap } from "../../../runtime/cli/format/tap-lines.ts";
import { injectTarget, parseResource, statResource, tapTarget } from "../../../runtime/cli/resource-argument.ts";
import { KubeError } from "../../../runtime/kube/errors.ts";
import { MeshError } from "../../../runtime/mesh/errors.ts";
import type { TapRecord } from "../../../runtime/mesh/types.ts";
import type { Stat, StatList } from "../../../runtime/model/statistics.ts";

const http: NonNullable<Stat["http"]> = {
  requests: 600,
  successes: 570,
  successRate: 0.95,
  requestsPerSecond: 10,
  latencyMs: { p50: 2.4, p95: 41.2, p99: 98 },
};
const list: StatList = {
  kind: "StatList",
  apiVersion: "stats.weft.dev/v1alpha1",
  window: "1m",
  source: { kind: "embedded", since: "2026-11-25T02:00:00Z", asOf: "2026-11-25T02:30:00Z" },
  items: [
    {
      kind: "Service",
      namespace: "demo",
      name: "gateway",
      meshedPods: 1,
      totalPods: 1,
      http,
      mtls: { state: "partial", share: 0.931 },
    },
    {
      kind: "Service",
      namespace: "demo",
      name: "store",
      meshedPods: 1,
      totalPods: 1,
      tcp: { openConnections: 2, connections: 2, readBytesPerSecond: 120.5, writeBytesPerSecond: 80 },
      mtls: { state: "all", share: 1 },
    },
    {
      kind: "Service",
      namespace: "demo",
      name: "quiet",
      meshedPods: 0,
      totalPods: 2,
      mtls: { state: "unknown", reason: "no meshed pods" },
      noData: "no meshed pods",
    },
  ],
};

describe("figures as a table", () => {
  it("have Linkerd's columns, a dash where there is no figure, and say why", () => {
    assert.equal(
      formatStats(list),
      [
        "NAME     MESHED  SUCCESS      RPS  LATENCY_P50  LATENCY_P95  LATENCY_P99  TCP_CONN     MTLS",
        "gateway     1/1   95.00%  10.0rps        2.4ms         41ms         98ms         -    93.1%",
        "store       1/1        -        -            -            -            -         2      all",
        "quiet       0/2        -        -            -            -            -         -  unknown",
        "quiet: no meshed pods",
        "Window 1m, scraped by the mesh since 2026-11-25T02:00:00Z, as of 2026-11-25T02:30:00Z.",
      ].join("\n"),
    );
  });

  it("show bytes when they are wide, and namespaces when there are several", () => {
    const [head = "", , store = ""] = formatStats(list, { wide: true, namespaces: true }).split("\n");
    assert.match(head, /^NAMESPACE +NAME .*READ_BYTES\/SEC +WRITE_BYTES\/SEC +MTLS$/);
    assert.match(store, /^demo +store .* 120\.5B\/s +80\.0B\/s +all$/);
  });

  it("have Linkerd's keys as JSON", () => {
    const [gateway, store] = JSON.parse(statsJson(list)) as Record<string, unknown>[];
    assert.equal(gateway?.["success"], 0.95);
    assert.equal(gateway?.["latency_ms_p95"], 41.2);
    assert.equal(gateway?.["meshed"], "1/1");
    assert.equal(gateway?.["tcp_open_connections"], null);
    assert.equal(store?.["tcp_read_bytes_rate"], 120.5);
    assert.equal(store?.["rps"], null);
  });
});

describe("a live request", () => {
  const record: TapRecord = {
    id: "in 10.0.0.1:5000 10.0.0.2:8080 3:7",
    time: "2026-11-25T02:30:00Z",
    direction: "inbound",
    source: { address: "10.0.0.1:5000", pod: "load-1", namespace: "demo" },
    destination: { address: "10.0.0.2:8080", pod: "gateway-1", namespace: "demo" },
    method: "POST",
    scheme: "http",
    authority: "gateway:8080",
    path: "/ask",
    status: 200,
    latencyMs: 1.5,
    durationMs: 2,
    responseBytes: 120,
    tls: "true",
  };
  const common = "id=3:7 proxy=in src=10.0.0.1:5000 dst=10.0.0.2:8080 tls=true";

  it("is three lines", () => {
    assert.equal(
      formatTap(record),
      [
        `req ${common} :method=POST :authority=gateway:8080 :path=/ask`,
        `rsp ${common} :status=200 latency=1500µs`,
        `end ${common} duration=2000µs response-length=120B`,
      ].join("\n"),
    );
  });

  it("is two lines where it broke off", () => {
    const { status: _, latencyMs: __, ...broken } = record;
    const lines = formatTap({ ...broken, resetCode: 8, tls: "" }).split("\n");
    assert.equal(lines.length, 2);
    assert.match(lines[1] ?? "", /tls=no_identity reset-error=8 duration=/);
  });

  it("names pods when it is wide", () => {
    assert.match(formatTap(record, { wide: true }), /src_pod=load-1 src_ns=demo dst_pod=gateway-1 dst_ns=demo$/m);
  });
});

describe("a plan", () => {
  it("shows what changes, one a line, and counts the rest", () => {
    const text = formatPlan({
      objects: [
        { apiVersion: "v1", kind: "Namespace", name: "weft", action: "unchanged" },
        { apiVersion: "v1", kind: "Service", namespace: "weft", name: "weft-viz", action: "create" },
        {
          apiVersion: "apps/v1",
          kind: "Deployment",
          namespace: "weft",
          name: "c",
          action: "update",
          detail: "spec.replicas: 1 → 2",
        },
        { apiVersion: "v1", kind: "Secret", namespace: "weft", name: "s", action: "in-cluster", detail: "a key" },
      ],
      notes: ["careful"],
    });
    assert.match(text, /^\+ {2}Service +weft\/weft-viz$/m);
    assert.match(text, /^~ {2}Deployment +weft\/c +spec\.replicas: 1 → 2$/m);
    assert.match(text, /^\* {2}Secret +weft\/s +made in the cluster: a key$/m);
    assert.match(text, /^1 object stays as it is\.$/m);
    assert.match(text, /^Note: careful$/m);
  });
});

describe("what a command is about", () => {
  it("is written as kubectl's users write it", () => {
    assert.deepEqual(parseResource(["deploy/web"]), { plural: "deployments", kind: "Deployment", name: "web" });
    assert.deepEqual(parseResource(["svc", "web"]), { plural: "services", kind: "Service", name: "web" });
    assert.equal(parseResource(["statefulsets"]).name, undefined);
    assert.deepEqual(injectTarget(parseResource(["ns/shop"]), "other"), {
      kind: "Namespace",
      namespace: "shop",
      name: "shop",
    });
    assert.deepEqual(tapTarget(parseResource(["deploy/web"]), "shop"), {
      kind: "deployments",
      name: "web",
      namespace: "shop",
    });
  });

  it("is refused where it makes no sense", () => {
    for (const words of [[], ["crd/x"], ["deploy/a", "b"], ["/x"]])
      assert.throws(() => parseResource(words), UsageError);
    assert.throws(() => statResource(parseResource(["ns"])), UsageError);
    assert.throws(() => injectTarget(parseResource(["svc/web"]), "shop"), UsageError);
    assert.throws(() => tapTarget(parseResource(["deploy"]), "shop"), UsageError);
  });

  it("takes flags with only the values that they have", () => {
    const flags = new Flags({ output: "yaml", "max-rps": "0", limit: "5" });
    assert.throws(() => flags.choice("output", ["table", "json"], "table"), /table, json, not "yaml"/);
    assert.throws(() => flags.count("max-rps", 1), UsageError);
    assert.equal(flags.count("limit", 1), 5);
    assert.equal(flags.choice("none", ["a"], "a"), "a");
  });
});

describe("an error at the terminal", () => {
  it("is a message and a next step", () => {
    assert.deepEqual(explain(new MeshError("it hangs", "Wait.")), {
      message: "it hangs",
      hint: "Wait.",
      unforeseen: false,
    });
    const forbidden = new KubeError({ kind: "Status", code: 403, message: "pods is forbidden" });
    assert.match(explain(forbidden).hint ?? "", /administrator/);
    assert.equal(explain(new TypeError("x is not a function")).unforeseen, true);
  });
});
