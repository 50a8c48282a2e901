import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readLines } from "../../../runtime/kube/lines.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import { getEdges } from "../../../runtime/mesh/edges.ts";
import { MeshError } from "../../../runtime/mesh/errors.ts";
import { getStats, watchStats } from "../../../runtime/mesh/stat.ts";
import type { EdgeList, Stat, StatList } from "../../../runtime/model/statistics.ts";
import { makeDeployment, makePod, makeService, TestProxy } from "./support/workloads.ts";
import { ADMIN, scope, World } from "./support/world.ts";

const STATS = "/apis/stats.weft.dev/v1alpha1";
const WEB = ["127.77.1.1", "127.77.1.2"] as const;
const CLIENT = "127.77.1.3";
const STORE = "127.77.1.4";
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

type Labels = readonly (readonly [string, string])[];
const inbound = (port: number, more: Labels): Labels => [
  ["direction", "inbound"],
  ["target_port", String(port)],
  ...more,
];
const clientIdentity = `client.shop.serviceaccount.identity.${scope.controlPlaneNamespace}.${scope.trustDomain}`;
const webIdentity = `web.shop.serviceaccount.identity.${scope.controlPlaneNamespace}.${scope.trustDomain}`;
const SECURED: Labels = [
  ["tls", "true"],
  ["client_id", clientIdentity],
];
const PLAIN: Labels = [
  ["tls", "no_identity"],
  ["no_tls_reason", "no_tls_from_remote"],
];
const DEFAULT_ROUTE: Labels = [["route_name", "default"]];

describe("statistics", () => {
  let world: World;
  const proxies: TestProxy[] = [];

  before(async () => {
    world = await World.create();
    for (const name of ["web", "client", "store", "idle"]) makeDeployment(world, name);
    for (const [index, ip] of WEB.entries()) {
      makePod(world, `web-${index}`, { deployment: "web", ip, serviceAccount: "web" });
      proxies.push(await TestProxy.start(world, ip, "shop", "web"));
    }
    makePod(world, "client-0", { deployment: "client", ip: CLIENT, serviceAccount: "client" });
    proxies.push(await TestProxy.start(world, CLIENT, "shop", "client"));
    makePod(world, "store-0", { deployment: "store", ip: STORE });
    proxies.push(await TestProxy.start(world, STORE));
    makePod(world, "plain-0", { ip: "127.77.1.9", meshed: false });
    makePod(world, "deaf-0", { ip: "127.77.1.10" });
    const webPods = WEB.map((ip, index) => ({ name: `web-${index}`, ip }));
    makeService(world, "web", 8080, webPods);
    // The same pods on another port: its traffic is not this service's.
    makeService(world, "web-admin", 9090, webPods);
    makeService(world, "store", 7070, [{ name: "store-0", ip: STORE }]);
    makeService(world, "plain", 80, [{ name: "plain-0", ip: "127.77.1.9" }]);
    makeService(world, "deaf", 80, [{ name: "deaf-0", ip: "127.77.1.10" }]);
    world.elect("viz-a");
    await world.startViz("viz-a");
    await list(world, "/services");
    // The first scrape of each proxy.
    await sleep(500);
    traffic();
  });

  after(async () => {
    for (const proxy of proxies) proxy.close();
    await world.close();
  });

  function traffic(): void {
    const [web0, web1, client, store] = proxies as [TestProxy, TestProxy, TestProxy, TestProxy];
    for (let index = 0; index < 30; index++) {
      const failure = index % 10 === 0;
      web0.registry.http(inbound(8080, [...SECURED, ...DEFAULT_ROUTE])).response(failure ? 503 : 200, 7, failure);
    }
    for (let index = 0; index < 10; index++) {
      web1.registry.http(inbound(8080, [...PLAIN, ...DEFAULT_ROUTE])).response(200, 40, false);
    }
    for (let index = 0; index < 500; index++) {
      web1.registry.http(inbound(8080, [...PLAIN, ["route_name", "probe"]])).response(200, 1, false);
    }
    web0.registry.http(inbound(9090, [...SECURED, ...DEFAULT_ROUTE])).response(200, 1, false);
    // The transport below HTTP: counted once, as requests.
    web0.registry.tcp(inbound(8080, [["peer", "src"], ...SECURED])).opened();
    for (let index = 0; index < 30; index++) {
      client.registry
        .http([
          ["direction", "outbound"],
          ["target_port", "8080"],
          ["tls", "true"],
          ["server_id", webIdentity],
          ["dst_namespace", "shop"],
          ["dst_service", "web"],
          ["dst_deployment", "web"],
        ])
        .response(200, 8, false);
    }
    const memory = store.registry.tcp(inbound(7070, [["peer", "src"], ...SECURED]));
    memory.opened();
    memory.read(4_000);
    memory.wrote(2_000);
    // The kubelet's TCP probes.
    const probes = store.registry.tcp(inbound(7070, [["peer", "src"], ...PLAIN]));
    for (let index = 0; index < 5; index++) {
      probes.opened();
      probes.closed("");
    }
  }

  async function list(of: World, path: string): Promise<StatList> {
    const { status, body } = await of.json<StatList>(ADMIN, STATS + path);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  async function stat(path: string, name: string, wanted: (stat: Stat) => boolean): Promise<Stat> {
    for (const end = performance.now() + 8_000; ; ) {
      const found = (await list(world, path)).items.find((item) => item.name === name);
      if (found !== undefined && wanted(found)) return found;
      assert.ok(performance.now() < end, `${path} ${name}: ${JSON.stringify(found)}`);
      await sleep(200);
    }
  }

  it("of a service are the inbound series of its pods on its target port, probes left out", async () => {
    const web = await stat("/namespaces/shop/services", "web", ({ http }) => http?.requests === 40);
    assert.equal(web.http?.successes, 37);
    assert.equal(web.http?.successRate, 37 / 40);
    // 30 requests between 5 and 10 ms, 10 between 30 and 40: the median is 20 of 30 into (5, 10].
    assert.equal(web.http?.latencyMs.p50, 8.33);
    assert.equal(web.http?.latencyMs.p95, 38);
    assert.deepEqual(web.mtls, { state: "partial", share: 0.75 });
    assert.equal(web.tcp, undefined);
    assert.equal(web.noData, undefined);
    assert.deepEqual([web.meshedPods, web.totalPods], [2, 2]);
    const seconds = (web.http?.requests ?? 0) / (web.http?.requestsPerSecond ?? 0);
    assert.ok(seconds > 0.5 && seconds < 30, `covers ${seconds} s`);
  });

  it("of what carries no HTTP are connections and bytes; connections without a word are no client's", async () => {
    const store = await stat("/services", "store", ({ tcp }) => tcp !== undefined);
    assert.deepEqual(store.mtls, { state: "all", share: 1 });
    assert.equal(store.tcp?.openConnections, 1);
    assert.equal(store.tcp?.connections, 1);
    assert.ok((store.tcp?.readBytesPerSecond ?? 0) > (store.tcp?.writeBytesPerSecond ?? 0));
    assert.equal(store.http, undefined);
  });

  it("of workloads and pods are all their ports", async () => {
    const web = await stat("/namespaces/shop/deployments", "web", ({ http }) => http?.requests === 41);
    assert.equal(web.kind, "Deployment");
    const pod = await stat("/namespaces/shop/pods", "web-1", ({ http }) => http?.requests === 10);
    assert.deepEqual(pod.mtls, { state: "none", share: 0 });
  });

  it("say why there are none", async () => {
    const { items, source } = await list(world, "/namespaces/shop/services");
    const reason = (name: string): string | undefined => items.find((item) => item.name === name)?.noData;
    assert.equal(reason("plain"), "no meshed pods");
    assert.match(reason("deaf") ?? "", /^shop\/deaf-0 cannot be scraped: .*ECONNREFUSED/);
    const idle = await stat("/deployments", "idle", () => true);
    assert.equal(idle.noData, "no pods");
    assert.deepEqual(idle.mtls, { state: "unknown", reason: "no pods" });
    assert.equal(source.kind, "embedded");
    assert.ok(Date.parse(source.since) < Date.parse(source.asOf));
    assert.ok(Math.abs(Date.parse(source.asOf) - Date.now()) < 20_000);
  });

  it("know who calls whom, with both identities, and that somebody unmeshed calls too", async () => {
    await stat("/namespaces/shop/services", "web", ({ http }) => http?.requests === 40);
    const { status, body } = await world.json<EdgeList>(ADMIN, `${STATS}/namespaces/shop/edges?window=1m`);
    assert.equal(status, 200);
    const to = body.items.filter(({ destination }) => destination.name === "web");
    assert.deepEqual(
      to.map(({ source, destination, http, mtls }) => [source, destination, http?.requests, mtls.state]),
      [
        [
          { kind: "Unknown", namespace: "", name: "unmeshed" },
          { kind: "Service", namespace: "shop", name: "web" },
          10,
          "none",
        ],
        [
          { kind: "Deployment", namespace: "shop", name: "client", identity: clientIdentity },
          { kind: "Service", namespace: "shop", name: "web", identity: webIdentity },
          30,
          "all",
        ],
      ],
    );
    // The store's caller has no outbound series here: its identity is known from the store's proxy.
    const [memory] = body.items.filter(({ destination }) => destination.name === "store");
    assert.deepEqual(memory?.source, {
      kind: "ServiceAccount",
      namespace: "shop",
      name: "client",
      identity: clientIdentity,
    });
  });

  it("reach views and terminal through the code they share", async () => {
    const client = world.clientOf(ADMIN, true);
    const query = { resource: "services", namespace: "shop", windowMs: 60_000 } as const;
    const names = ({ items }: StatList): string[] => items.map(({ name }) => name);
    const once = await getStats(client, query);
    assert.deepEqual(names(once), ["deaf", "plain", "store", "web", "web-admin"]);
    const abort = new AbortController();
    let lists = 0;
    for await (const list of watchStats(client, query, abort.signal)) {
      assert.deepEqual(names(list), names(once));
      // An aborted watch ends without an error.
      if (++lists === 2) abort.abort();
    }
    assert.equal(lists, 2);
    const edges = await getEdges(client, { namespace: "shop", windowMs: 60_000 });
    assert.ok(edges.items.some(({ source, destination }) => source.name === "client" && destination.name === "web"));
    await assert.rejects(getStats(client, { ...query, windowMs: 5_000 }), /a window of 5s is not kept/);
    await assert.rejects(getStats(world.clientOf({ name: "eve" }), query), (error: unknown) => {
      assert.ok(error instanceof MeshError);
      assert.match(error.message, /^you may not see statistics of services: .*User "eve"/);
      assert.match(error.hint ?? "", /get, list and watch on services.stats.weft.dev/);
      return true;
    });
  });

  it("are printed by kubectl as a table", async () => {
    const { body } = await world.json<{
      kind: string;
      columnDefinitions: { name: string }[];
      rows: { cells: string[]; object: { metadata: { name: string } } }[];
    }>(ADMIN, `${STATS}/namespaces/shop/services`, { accept: TABLE });
    assert.equal(body.kind, "Table");
    const row = body.rows.find(({ object }) => object.metadata.name === "web");
    const cells = Object.fromEntries(body.columnDefinitions.map(({ name }, index) => [name, row?.cells[index]]));
    assert.equal(cells["Meshed"], "2/2");
    assert.equal(cells["Success"], "92.50%");
    assert.equal(cells["mTLS"], "partial (75.00%)");
    assert.equal(cells["P50"], "8.3ms");
  });

  it("stream one list a round, over HTTP/1.1 and HTTP/2", async () => {
    for (const http2 of [false, true]) {
      const answer = await world.ask(ADMIN, `${STATS}/namespaces/shop/services?watch=true&window=30s`, { http2 });
      assert.equal(answer.status, 200);
      const lists: StatList[] = [];
      for await (const line of readLines(answer.body)) {
        lists.push(JSON.parse(line) as StatList);
        if (lists.length === 3) break;
      }
      answer.close();
      assert.deepEqual(
        lists.map(({ kind, window }) => [kind, window]),
        Array(3).fill(["StatList", "30s"]),
      );
      assert.ok(Date.parse(lists[2]!.source.asOf) > Date.parse(lists[0]!.source.asOf));
    }
  });

  it("give one object by its name, and say when there is none", async () => {
    const one = await world.json<Stat & { apiVersion: string }>(ADMIN, `${STATS}/namespaces/shop/services/web`);
    assert.equal(one.status, 200);
    assert.deepEqual(
      [one.body.apiVersion, one.body.kind, one.body.name],
      ["stats.weft.dev/v1alpha1", "Service", "web"],
    );
    const none = await world.json<{ reason: string }>(ADMIN, `${STATS}/namespaces/shop/services/nope`);
    assert.deepEqual([none.status, none.body.reason], [404, "NotFound"]);
  });

  it("answer bad questions with a Status that says what is wrong", async () => {
    const cases: readonly [path: string, code: number, reason: string, message: RegExp][] = [
      ["/services?window=5s", 400, "BadRequest", /5s is not kept: ask for 10s to 1h/],
      ["/services?window=2h", 400, "BadRequest", /2h is not kept/],
      ["/services?window=soon", 400, "BadRequest", /"soon" is no duration/],
      ["/services?labelSelector=a%3Db", 400, "BadRequest", /labelSelector is not supported/],
      ["/services/web", 400, "BadRequest", /name the namespace/],
      ["/namespaces/shop/routes", 501, "NotImplemented", /routes/],
      ["/namespaces/shop/cats", 404, "NotFound", /could not find the requested resource/],
      ["/namespaces/%zz/services", 400, "BadRequest", /broken escape/],
    ];
    for (const [path, code, reason, message] of cases) {
      const { status, body } = await world.json<{ kind: string; reason: string; message: string; code: number }>(
        ADMIN,
        STATS + path,
      );
      assert.deepEqual([status, body.kind, body.code, body.reason], [code, "Status", code, reason], path);
      assert.match(body.message, message);
    }
  });

  it("outlive requests that nobody sends in earnest", async () => {
    for (const path of ["//", "//evil.example/apis", "/apis//", "/\\", "/apis/stats.weft.dev/v1alpha1/../../.."]) {
      for (const http2 of [false, true]) {
        const { status } = await world.json<unknown>(undefined, path, { http2 });
        assert.ok(status === 200 || status === 404, `${path}: ${status}`);
      }
    }
    const star = await world.json<unknown>(undefined, "*", { method: "OPTIONS" });
    assert.equal(star.status, 404);
    const posted = await world.json<{ reason: string }>(ADMIN, `${STATS}/services`, {
      method: "POST",
      body: Buffer.alloc(10),
    });
    assert.deepEqual([posted.status, posted.body.reason], [405, "MethodNotAllowed"]);
  });

  it("are for those who may look: by the right to view, in their namespace", async () => {
    const bob = { name: "bob" };
    const refused = await world.json<{ reason: string; message: string }>(bob, `${STATS}/namespaces/shop/services`);
    assert.deepEqual([refused.status, refused.body.reason], [403, "Forbidden"]);
    assert.match(refused.body.message, /User "bob" cannot list resource "services" in API group "stats.weft.dev"/);
    await world.client.create(resource.roleBindings, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "bob-views", namespace: "shop" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "weft-stats-view" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "bob" }],
    });
    const allowed = await world.json<StatList>(bob, `${STATS}/namespaces/shop/services`);
    assert.equal(allowed.status, 200);
    const everywhere = await world.json<{ reason: string }>(bob, `${STATS}/services`);
    assert.equal(everywhere.status, 403);
  });

  it("believe nobody but the API server who is asking", async () => {
    const path = `${STATS}/namespaces/shop/services`;
    const nobody = await world.json<{ reason: string }>(undefined, path);
    assert.deepEqual([nobody.status, nobody.body.reason], [401, "Unauthorized"]);
    // A workload of the mesh, with the best headers.
    const { cert, key } = world.leaf("shop", "web");
    const forged = await world.json<{ reason: string }>(ADMIN, path, { tls: { cert, key } });
    assert.deepEqual([forged.status, forged.body.reason], [401, "Unauthorized"]);
  });

  it("keep what pods did that are gone, and forget none of it while it is in the window", async () => {
    await world.client.delete(resource.pods, "web-1", "shop");
    world.api.finishPod("shop", "web-1", world.api.get(resource.pods, "web-1", "shop")?.metadata.uid ?? "");
    world.api.update(resource.endpointSlices, "web-abc", "shop", (slice) => {
      slice["endpoints"] = (slice["endpoints"] as unknown[]).slice(0, 1);
    });
    const web = await stat("/namespaces/shop/services", "web", ({ totalPods }) => totalPods === 1);
    assert.equal(web.http?.requests, 40);
    const deployment = await stat("/namespaces/shop/deployments", "web", ({ totalPods }) => totalPods === 1);
    assert.equal(deployment.http?.requests, 41);
  });
});
