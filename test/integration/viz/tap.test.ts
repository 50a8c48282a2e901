import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TapByResourceRequest } from "../../../runtime/api/gen/viz_tap.ts";
import { KubeError } from "../../../runtime/kube/errors.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import { MeshError } from "../../../runtime/mesh/errors.ts";
import { tap, tapRequest } from "../../../runtime/mesh/tap.ts";
import type { TapQuery, TapRecord } from "../../../runtime/mesh/types.ts";
import { annotation } from "../../../runtime/model/names.ts";
import type { TapRequest } from "../../../runtime/proxy/tap/hub.ts";
import { makeDeployment, makePod, makeService, TestProxy } from "./support/workloads.ts";
import { ADMIN, World } from "./support/world.ts";

const TAP = "/apis/tap.linkerd.io/v1alpha1/watch/namespaces/shop";
const WEB = ["127.77.2.1", "127.77.2.2"] as const;
const CLIENT = "127.77.2.3";
const CLIENT_IDENTITY = "client.shop.serviceaccount.identity.weft.cluster.local";
const WEB_IDENTITY = "web.shop.serviceaccount.identity.weft.cluster.local";
const query: TapQuery = { namespace: "shop", kind: "deployments", name: "web", maxRps: 100 };

/** As the inbound side of a proxy tells of a request. */
function request(path: string, to: string, changes: Partial<TapRequest> = {}): TapRequest {
  return {
    direction: "inbound",
    source: { ip: CLIENT, port: 40_000 },
    destination: { ip: to, port: 8080 },
    sourceLabels: [
      ["tls", "true"],
      ["client_id", CLIENT_IDENTITY],
    ],
    destinationLabels: [],
    routeLabels: [["route_name", "default"]],
    method: "GET",
    scheme: "http",
    authority: "web.shop",
    path,
    headers: () => [["authorization", "Bearer secret"]],
    ...changes,
  };
}

async function until(what: string, condition: () => boolean, limitMs = 5_000): Promise<void> {
  for (const end = performance.now() + limitMs; !condition(); await sleep(10)) {
    assert.ok(performance.now() < end, `in vain: ${what}`);
  }
}

describe("tap", () => {
  let world: World;
  const proxies: TestProxy[] = [];

  before(async () => {
    world = await World.create();
    for (const name of ["web", "plain", "quiet"]) makeDeployment(world, name);
    for (const [index, ip] of WEB.entries()) {
      makePod(world, `web-${index}`, { deployment: "web", ip, serviceAccount: "web" });
      proxies.push(await TestProxy.start(world, ip, "shop", "web"));
    }
    makePod(world, "client-0", { deployment: "client", ip: CLIENT, serviceAccount: "client" });
    makePod(world, "plain-0", { deployment: "plain", ip: "127.77.2.8", meshed: false });
    makePod(world, "quiet-0", { deployment: "quiet", ip: "127.77.2.9" });
    world.api.update(resource.pods, "quiet-0", "shop", (pod) => {
      pod.metadata.annotations = { [annotation.disableTap]: "true" };
    });
    makeService(world, "web", 8080, [{ name: "web-0", ip: WEB[0] }]);
    world.elect("viz-a");
    await world.startViz("viz-a");
    // The process' own certificate comes a moment after the first answer.
    await sleep(300);
  });

  after(async () => {
    for (const proxy of proxies) proxy.close();
    await world.close();
  });

  const watching = (index: number): boolean => proxies[index]?.watchers.active === true;

  function pass(index: number, path: string, changes: Partial<TapRequest> = {}, status = 200): void {
    const exchange = proxies[index]?.watchers.open(request(path, WEB[index] ?? "", changes));
    exchange?.response(status, () => [["content-type", "text/plain"]]);
    exchange?.end({ responseBytes: 12 });
  }

  async function collect(
    of: TapQuery,
    count: number,
    drive: () => Promise<void>,
    http2 = true,
    notices: string[] = [],
  ): Promise<TapRecord[]> {
    // The tap before has been given up, and its proxies know.
    await until("nobody observes", () => !proxies.some(({ watchers }) => watchers.active), 1_000);
    const abort = new AbortController();
    const records: TapRecord[] = [];
    const reading = (async () => {
      for await (const record of tap(world.clientOf(ADMIN, http2), of, abort.signal, (text) => notices.push(text))) {
        records.push(record);
        if (records.length >= count) break;
      }
    })();
    try {
      await drive();
      await Promise.race([reading, sleep(5_000).then(() => assert.fail(`only ${records.length} of ${count} records`))]);
    } finally {
      abort.abort();
      await reading.catch(() => {});
    }
    return records;
  }

  it("shows requests of every pod of a workload, with what is known of both ends", async () => {
    for (const http2 of [true, false]) {
      const records = await collect(
        query,
        2,
        async () => {
          await until("both proxies are observed", () => watching(0) && watching(1));
          pass(0, "/a?b=c");
          pass(1, "/d", { method: "PURGE" }, 503);
        },
        http2,
      );
      const [first, second] = records.sort((a, b) => a.path.localeCompare(b.path));
      assert.equal(first?.path, "/a?b=c");
      assert.equal(first.method, "GET");
      assert.equal(first.status, 200);
      assert.equal(first.tls, "true");
      assert.equal(first.responseBytes, 12);
      assert.deepEqual(first.source, {
        address: `${CLIENT}:40000`,
        pod: "client-0",
        workload: "client",
        namespace: "shop",
        identity: CLIENT_IDENTITY,
      });
      assert.deepEqual(first.destination, {
        address: `${WEB[0]}:8080`,
        pod: "web-0",
        workload: "web",
        namespace: "shop",
        identity: WEB_IDENTITY,
      });
      // Headers only when asked for.
      assert.equal(first.requestHeaders, undefined);
      assert.deepEqual([second?.method, second?.status], ["PURGE", 503]);
    }
    await until("the proxies are left alone again", () => !watching(0) && !watching(1), 1_000);
  });

  it("of a service is of the pods behind it; filters act in the proxies; headers come redacted", async () => {
    const of: TapQuery = {
      ...query,
      kind: "services",
      method: "post",
      pathPrefix: "/pay",
      authority: "web.shop",
      headers: true,
    };
    const [record] = await collect(of, 1, async () => {
      await until("the proxy is observed", () => watching(0));
      assert.equal(watching(1), false);
      pass(0, "/pay/1");
      pass(0, "/browse", { method: "POST" });
      pass(0, "/pay/2", { method: "POST", authority: "other" });
      pass(0, "/pay/3", { method: "POST" });
    });
    assert.equal(record?.path, "/pay/3");
    assert.deepEqual(record.requestHeaders, [["authorization", "[redacted]"]]);
    assert.deepEqual(record.responseHeaders, [["content-type", "text/plain"]]);
  });

  it("follows pods that come and go", async () => {
    const notices: string[] = [];
    const records = await collect(
      query,
      1,
      async () => {
        await until("both are observed", () => watching(0) && watching(1));
        makePod(world, "web-2", { deployment: "web", ip: "127.77.2.4", serviceAccount: "web" });
        proxies.push(await TestProxy.start(world, "127.77.2.4", "shop", "web"));
        await until("the new pod is observed", () => watching(2));
        await world.client.delete(resource.pods, "web-1", "shop");
        await until("the pod that goes is left alone", () => !watching(1));
        proxies[2]?.watchers.open(request("/new", "127.77.2.4"))?.end({ responseBytes: 0 });
      },
      true,
      notices,
    );
    assert.equal(records[0]?.path, "/new");
    assert.equal(records[0].status, undefined);
  });

  it("shows no more than the rate that was asked for, shared among the pods", async () => {
    const abort = new AbortController();
    const records: TapRecord[] = [];
    const reading = (async () => {
      for await (const record of tap(world.clientOf(ADMIN), { ...query, maxRps: 4 }, abort.signal))
        records.push(record);
    })();
    await until("observed", () => watching(0) && watching(2));
    const end = performance.now() + 2_500;
    for (let tick = 0; performance.now() < end; tick++) {
      pass(0, `/0/${tick}`);
      proxies[2]?.watchers.open(request(`/2/${tick}`, "127.77.2.4"))?.end({ responseBytes: 0 });
      await sleep(10);
    }
    abort.abort();
    await reading;
    // Windows begin at 0, 1 and 2 s, two requests a pod in each; one more where the machine is slow.
    for (const pod of ["/0/", "/2/"]) {
      const shown = records.filter(({ path }) => path.startsWith(pod)).length;
      assert.ok(shown >= 4 && shown <= 8, `${shown} of ${pod}`);
    }
  });

  it("drops what is not read in time, and says how many", async () => {
    const path = `${TAP}/deployments/web/tap`;
    const body = TapByResourceRequest.encode(tapRequest({ ...query, maxRps: 10_000 })).finish();
    // Nobody reads the answer until the flood is over.
    const answer = await world.ask(ADMIN, path, {
      method: "POST",
      body,
      accept: "application/octet-stream, application/json",
    });
    await until("observed", () => watching(0));
    const big = "x".repeat(20_000);
    for (let turn = 0; turn < 150; turn++) {
      for (let index = 0; index < 10; index++) pass(0, `/${big}`);
      await sleep(5);
    }
    const client = world.clientOf(ADMIN);
    const notices: string[] = [];
    const abort = new AbortController();
    const replayed = { ...client, transport: { ...client.transport, open: async () => ({ ...answer, headers: {} }) } };
    const reading = (async () => {
      for await (const record of tap(replayed, query, abort.signal, (text) => notices.push(text))) void record;
    })();
    for (let turn = 0; turn < 300 && !notices.some((text) => /dropped/.test(text)); turn++) {
      pass(0, "/after");
      await sleep(20);
    }
    answer.close();
    abort.abort();
    await reading.catch(() => {});
    assert.match(notices.join("\n"), /\d+ events were dropped/);
  });

  it("ends within a second when its client has gone", async () => {
    for (const http2 of [true, false]) {
      const body = TapByResourceRequest.encode(tapRequest(query)).finish();
      const answer = await world.ask(ADMIN, `${TAP}/deployments/web/tap`, { method: "POST", body, http2 });
      await until("observed", () => watching(0));
      answer.close();
      await until("left alone", () => !watching(0) && !watching(2), 1_000);
    }
  });

  it("is only for whom may watch, and says so in the way of the asker", async () => {
    const bob = { name: "bob" };
    await assert.rejects(collectAs(bob), (error: unknown) => {
      assert.ok(error instanceof MeshError);
      assert.match(error.message, /User "bob" cannot watch resource "deployments\/tap" in API group "tap.linkerd.io"/);
      assert.match(error.hint ?? "", /administrator/);
      return true;
    });
    // The right to view brings none to tap.
    await world.client.create(resource.roleBindings, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "bob-views", namespace: "shop" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "weft-stats-view" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "bob" }],
    });
    await assert.rejects(collectAs(bob), MeshError);
    const body = TapByResourceRequest.encode(tapRequest(query)).finish();
    const refused = await world.ask(bob, `${TAP}/deployments/web/tap`, { method: "POST", body, accept: "*/*" });
    assert.equal(refused.status, 403);
    assert.equal(refused.headers["linkerd-error"], "Forbidden");
    const chunks: Buffer[] = [];
    for await (const chunk of refused.body) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    assert.equal(bytes.readUInt32LE(), bytes.length - 4);
    assert.match(bytes.subarray(4).toString(), /cannot watch/);
  });

  async function collectAs(user: { name: string }): Promise<void> {
    for await (const record of tap(world.clientOf(user), query, AbortSignal.timeout(5_000))) {
      assert.fail(`saw ${record.path}`);
    }
  }

  it("refuses what cannot be tapped, with the reason", async () => {
    const attempt = async (of: Partial<TapQuery>): Promise<string> => {
      try {
        for await (const record of tap(world.clientOf(ADMIN), { ...query, ...of }, AbortSignal.timeout(5_000))) {
          return `saw ${record.path}`;
        }
        return "ended";
      } catch (error) {
        assert.ok(error instanceof KubeError, String(error));
        return `${error.status} ${error.reason} ${error.message}`;
      }
    };
    assert.match(await attempt({ name: "nope" }), /^404 NotFound there is no deployments\/nope in namespace "shop"/);
    assert.match(
      await attempt({ name: "plain" }),
      /^404 NotFound none of the 1 pods of deployments\/plain .* is meshed/,
    );
    assert.match(await attempt({ name: "quiet" }), /^404 NotFound tap is disabled for deployments\/quiet/);
  });

  it("reviews the rights for what it then shows: body and path must agree", async () => {
    const body = TapByResourceRequest.encode(tapRequest({ ...query, name: "secret" })).finish();
    const answer = await world.json<{ reason: string; message: string }>(ADMIN, `${TAP}/deployments/web/tap`, {
      method: "POST",
      body,
    });
    assert.deepEqual([answer.status, answer.body.reason], [400, "BadRequest"]);
    assert.match(answer.body.message, /the body asks for deployment\/secret/);
  });

  it("goes on where a proxy shows another identity than its pod's, and says so", async () => {
    makeDeployment(world, "mallory");
    makePod(world, "mallory-0", { deployment: "mallory", ip: "127.77.2.6", serviceAccount: "mallory" });
    // The address answers with somebody else's leaf.
    const proxy = await TestProxy.start(world, "127.77.2.6", "shop", "web");
    proxies.push(proxy);
    const notices: string[] = [];
    const abort = new AbortController();
    const reading = (async () => {
      const of = { ...query, name: "mallory" };
      for await (const record of tap(world.clientOf(ADMIN), of, abort.signal, (text) => notices.push(text))) {
        assert.fail(`saw ${record.path}`);
      }
    })();
    await until("a notice", () => notices.length > 0, 8_000);
    abort.abort();
    await reading;
    assert.match(notices[0] ?? "", /^shop\/mallory-0 cannot be tapped: .*(mallory|altnames)/);
    assert.equal(proxy.watchers.active, false);
  });
});
