import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient } from "../../runtime/kube/types.ts";
import { planDemo, scaleUnmeshedClient } from "../../runtime/mesh/demo.ts";
import { DEMO_HTTP_SERVICES, DEMO_NAMESPACE } from "../../runtime/mesh/demo-objects.ts";
import { getEdges } from "../../runtime/mesh/edges.ts";
import { meshedPods } from "../../runtime/mesh/meshed.ts";
import { isPodReady, type Pod } from "../../runtime/mesh/pods.ts";
import { waitForRollout } from "../../runtime/mesh/rollout.ts";
import { getStats } from "../../runtime/mesh/stat.ts";
import { tap } from "../../runtime/mesh/tap.ts";
import type { TapRecord } from "../../runtime/mesh/types.ts";
import { annotation } from "../../runtime/model/names.ts";
import type { Stat } from "../../runtime/model/statistics.ts";
import { demoHealth } from "../../scripts/support/demo-health.ts";
import { weft } from "./support/cli.ts";
import { loadLog, nextLoadReport, outcomesBetween } from "./support/load.ts";
import { connectCluster, ensureDemo, eventually, nodeImage, runtimeFolder } from "./support/mesh.ts";

const WINDOW_MS = 30_000;
const FIGURES_MS = 120_000;

describe("the demo in the mesh", () => {
  let client: KubeClient;

  before(async () => {
    client = await connectCluster();
    await ensureDemo(client);
  });

  after(() => client.transport.close());

  it("has a proxy in every pod but the one that wants none", async () => {
    const { items } = await client.list<Pod>(resource.pods, { namespace: DEMO_NAMESPACE });
    const running = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const meshed = await meshedPods(client, "weft", DEMO_NAMESPACE);
    assert.ok(running.length >= 8);
    assert.ok(running.every(isPodReady));
    assert.deepEqual(
      meshed.map(({ metadata }) => metadata.name).sort(),
      running.map(({ metadata }) => metadata.name).sort(),
    );
  });

  it("a second time changes nothing", async () => {
    const plan = await planDemo(client, { runtimeFolder, nodeImage });
    assert.deepEqual(
      plan.objects
        .filter(({ action }) => action !== "unchanged")
        .map(({ kind, name, detail }) => `${kind} ${name} ${detail}`),
      [],
    );
  });

  it("shows figures and full mTLS for every service", async () => {
    const { services } = await eventually("figures and mTLS of every service", FIGURES_MS, async () => {
      const health = await demoHealth(client);
      if (health.missing.length > 0) throw new Error(health.missing.join("; "));
      return health;
    });
    for (const name of DEMO_HTTP_SERVICES) {
      const { http, meshedPods: meshed, totalPods } = stat(services?.items, name);
      assert.ok(http !== undefined && http.requestsPerSecond > 1, `${name}: ${JSON.stringify(http)}`);
      assert.ok(
        http.latencyMs.p50 > 0 && http.latencyMs.p50 <= http.latencyMs.p95 && http.latencyMs.p95 <= http.latencyMs.p99,
      );
      assert.equal(meshed, totalPods);
    }
    assert.equal(services?.source.kind, "embedded");
  });

  it("shows the failures of the one tool that fails 5 % of its requests, and of no other", async () => {
    const success = await eventually("failures of search-tool", FIGURES_MS, async () => {
      const { items } = await getStats(client, { resource: "services", namespace: DEMO_NAMESPACE, windowMs: 60_000 });
      const { http } = stat(items, "search-tool");
      assert.equal(stat(items, "gateway").http?.successRate, 1);
      assert.equal(stat(items, "planner").http?.successRate, 1);
      return http !== undefined && http.requests > 200 && http.successRate < 1 ? http.successRate : undefined;
    });
    assert.ok(success > 0.85 && success < 0.995, `search-tool: ${success}`);
  });

  it("shows bytes and mTLS of the TCP store, and no requests", async () => {
    const { items } = await getStats(client, { resource: "services", namespace: DEMO_NAMESPACE, windowMs: WINDOW_MS });
    const store = stat(items, "store");
    assert.equal(store.http, undefined);
    assert.equal(store.mtls.state, "all");
    assert.ok((store.tcp?.readBytesPerSecond ?? 0) > 10, JSON.stringify(store.tcp));
    assert.ok((store.tcp?.writeBytesPerSecond ?? 0) > 10, JSON.stringify(store.tcp));
    assert.ok((store.tcp?.openConnections ?? 0) > 0, JSON.stringify(store.tcp));
  });

  it("shows who calls whom, with both identities", async () => {
    const edge = await eventually("the edge from planner to search-tool", FIGURES_MS, async () => {
      const { items } = await getEdges(client, { namespace: DEMO_NAMESPACE, windowMs: 60_000 });
      return items.find(({ source, destination }) => source.name === "planner" && destination.name === "search-tool");
    });
    const identity = `default.${DEMO_NAMESPACE}.serviceaccount.identity.weft.cluster.local`;
    assert.deepEqual([edge.source.identity, edge.destination.identity], [identity, identity]);
    assert.equal(edge.mtls.state, "all");
    assert.ok((edge.http?.requestsPerSecond ?? 0) > 1);
  });

  it("taps live requests, with both ends, identities and mTLS", async () => {
    const identity = new RegExp(`^default\\.${DEMO_NAMESPACE}\\.serviceaccount\\.identity\\.`);
    for (const record of await tapped(client, "planner", "inbound", "/plan")) {
      assert.deepEqual([record.method, record.status, record.tls], ["POST", 200, "true"]);
      assert.match(record.source.identity ?? "", identity);
      // Where the network hides the client's address behind its node's, only the identity says who it is.
      if (record.source.pod !== undefined) assert.match(record.source.pod, /^gateway-/);
      assert.match(record.destination.pod ?? "", /^planner-/);
      assert.ok((record.latencyMs ?? 0) > 0 && (record.durationMs ?? 0) >= (record.latencyMs ?? 0));
    }
    for (const record of await tapped(client, "gateway", "outbound", "/plan")) {
      assert.deepEqual([record.method, record.status, record.tls], ["POST", 200, "true"]);
      assert.match(record.source.pod ?? "", /^gateway-/);
      assert.match(record.destination.pod ?? "", /^planner-/);
      assert.match(record.destination.identity ?? "", identity);
      assert.ok((record.responseBytes ?? 0) > 10);
    }
  });

  it("is told at the terminal too", async () => {
    const stats = await weft(["stat", "svc", "-n", DEMO_NAMESPACE]);
    assert.equal(stats.code, 0, stats.stderr);
    assert.match(stats.stdout, /^NAME +MESHED +SUCCESS +RPS +LATENCY_P50 +LATENCY_P95 +LATENCY_P99 +TCP_CONN +MTLS$/m);
    assert.match(stats.stdout, /^gateway +1\/1 +100\.00% +[\d.]+rps +[\d.]+ms .* all$/m);
    assert.match(stats.stdout, /^Window 1m, scraped by the mesh since /m);
    const tapped = await weft(["tap", "deploy/gateway", "-n", DEMO_NAMESPACE, "--limit", "2", "--path", "/ask"]);
    assert.equal(tapped.code, 0, tapped.stderr);
    assert.match(
      tapped.stdout,
      /^req id=\S+ proxy=in src=\S+ dst=\S+ tls=true :method=POST :authority=\S+ :path=\/ask$/m,
    );
    assert.match(tapped.stdout, /^rsp id=.* :status=200 latency=\d+µs$/m);
    const edges = await weft(["edges", "-n", DEMO_NAMESPACE, "-o", "json"]);
    assert.equal(edges.code, 0, edges.stderr);
    assert.ok((JSON.parse(edges.stdout) as unknown[]).length >= 5);
  });

  it("shows partial mTLS, with its share, when a client without a proxy calls, and full again after", async () => {
    await scaleUnmeshedClient(client, 1);
    try {
      const gateway = await eventually("partial mTLS of gateway", FIGURES_MS, async () => {
        const { items } = await getStats(client, {
          resource: "services",
          namespace: DEMO_NAMESPACE,
          windowMs: WINDOW_MS,
        });
        const found = stat(items, "gateway");
        return found.mtls.state === "partial" && (found.mtls.share ?? 1) < 0.95 ? found : undefined;
      });
      // 2 requests a second beside 10 in the mesh.
      assert.ok((gateway.mtls.share ?? 0) > 0.6, JSON.stringify(gateway.mtls));
      const { items } = await getStats(client, {
        resource: "services",
        namespace: DEMO_NAMESPACE,
        windowMs: WINDOW_MS,
      });
      assert.equal(stat(items, "planner").mtls.state, "all");
    } finally {
      await scaleUnmeshedClient(client, 0);
    }
    await eventually("full mTLS of gateway", FIGURES_MS, async () => {
      const { items } = await getStats(client, {
        resource: "services",
        namespace: DEMO_NAMESPACE,
        windowMs: WINDOW_MS,
      });
      return stat(items, "gateway").mtls.state === "all" ? true : undefined;
    });
  });

  it("fails no request while its agents are restarted and scaled up and down, and the control plane is gone for a while", async () => {
    const first = await nextLoadReport(client);
    for (const name of ["planner", "search-tool", "gateway", "calculator-tool", "store"]) await restart(client, name);
    for (const [name, replicas] of [
      ["planner", 4],
      ["search-tool", 1],
      ["gateway", 3],
      ["planner", 1],
      ["gateway", 1],
      ["planner", 2],
      ["search-tool", 2],
    ] as const) {
      await scale(client, name, replicas);
    }
    // Proxies keep what they know while nobody is there to ask.
    await killController(client);
    const outcomes = outcomesBetween(first, await nextLoadReport(client));
    assert.deepEqual(Object.keys(outcomes), ["ok"], `${JSON.stringify(outcomes)}\n${await loadLog(client)}`);
    assert.ok((outcomes["ok"] ?? 0) > 100, JSON.stringify(outcomes));
  });
});

function stat(items: readonly Stat[] | undefined, name: string): Stat {
  const found = items?.find((item) => item.name === name);
  assert.ok(found !== undefined, `no figures of ${name}`);
  return found;
}

/** The first live requests of a Deployment in one direction and on one path. */
async function tapped(
  client: KubeClient,
  name: string,
  direction: TapRecord["direction"],
  path: string,
): Promise<TapRecord[]> {
  const seen: TapRecord[] = [];
  const query = { namespace: DEMO_NAMESPACE, kind: "deployments", name, maxRps: 100 } as const;
  for await (const record of tap(client, query, AbortSignal.timeout(60_000))) {
    if (record.direction === direction && record.path === path) seen.push(record);
    if (seen.length === 5) break;
  }
  assert.equal(seen.length, 5, `${name}: ${seen.length} requests`);
  return seen;
}

async function restart(client: KubeClient, name: string): Promise<void> {
  const annotations = { [annotation.restartedAt]: new Date().toISOString() };
  await client.patch(resource.deployments, name, DEMO_NAMESPACE, { spec: { template: { metadata: { annotations } } } });
  await rolledOut(client, name);
}

async function scale(client: KubeClient, name: string, replicas: number): Promise<void> {
  await client.patch(resource.deployments, name, DEMO_NAMESPACE, { spec: { replicas } }, { subresource: "scale" });
  await rolledOut(client, name);
}

/** Without a chance to say goodbye; resolves when another one is ready. */
async function killController(client: KubeClient): Promise<void> {
  const { items } = await client.list<Pod>(resource.pods, {
    namespace: "weft",
    labelSelector: "linkerd.io/control-plane-component=controller",
  });
  for (const { metadata } of items) {
    const path = `/api/v1/namespaces/weft/pods/${metadata.name}`;
    await client.json({ method: "DELETE", path, body: { gracePeriodSeconds: 0 } });
  }
  const ref = { kind: "Deployment", namespace: "weft", name: "weft-controller" } as const;
  await waitForRollout(client, ref, { deadline: performance.now() + 120_000 }, () => {});
}

async function rolledOut(client: KubeClient, name: string): Promise<void> {
  const ref = { kind: "Deployment", namespace: DEMO_NAMESPACE, name } as const;
  await waitForRollout(client, ref, { deadline: performance.now() + 120_000 }, () => {});
}
