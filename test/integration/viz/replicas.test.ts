import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLog } from "../../../runtime/controller/config/log.ts";
import { Front } from "../../../runtime/controller/front/front.ts";
import type { Viz } from "../../../runtime/controller/viz/start-viz.ts";
import { readLines } from "../../../runtime/kube/lines.ts";
import { port } from "../../../runtime/model/ports.ts";
import type { StatList } from "../../../runtime/model/statistics.ts";
import { makePod, makeService } from "./support/workloads.ts";
import { ADMIN, NAMESPACE, World } from "./support/world.ts";

const SERVICES = "/apis/stats.weft.dev/v1alpha1/namespaces/shop/services";
const ADDRESS = { "viz-a": "127.77.4.1", "viz-b": "127.77.4.2" } as const;

describe("two replicas of the statistics process", () => {
  let world: World;
  const replicas = new Map<string, Viz>();
  const fronts: Front[] = [];

  before(async () => {
    world = await World.create();
    makeService(world, "web", 8080, []);
    world.elect("viz-a");
    for (const [name, ip] of Object.entries(ADDRESS)) {
      makePod(world, name, { namespace: NAMESPACE, ip, meshed: false });
      const viz = await world.startViz(name);
      replicas.set(name, viz);
      // As in the pod: the controller's port 10250 passes on what is viz's.
      const front = new Front({
        port: port.api,
        host: ip,
        vizNames: [`weft-viz.${NAMESPACE}.svc`],
        viz: { host: "127.0.0.1", port: viz.port },
        webhook: (socket) => socket.destroy(),
        log: createLog("front", "error"),
      });
      await front.listen();
      fronts.push(front);
    }
    // Their certificates of the mesh come a moment later.
    await sleep(500);
  });

  after(async () => {
    await world.close();
    for (const front of fronts) await front.drain(0);
  });

  const at = (name: keyof typeof ADDRESS): { port: number } => ({ port: replicas.get(name)?.port ?? 0 });

  it("give the same history, whichever is asked: the one that does not scrape asks the other", async () => {
    const answers = [];
    for (const name of ["viz-a", "viz-b"] as const) {
      const { status, body } = await world.json<StatList>(ADMIN, SERVICES, at(name));
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.items[0]?.name, "web");
      answers.push(body.source.since);
    }
    assert.equal(answers[0], answers[1]);
  });

  it("pass refusals and Status objects on, and review rights where the user asked", async () => {
    const bad = await world.json<{ reason: string }>(ADMIN, `${SERVICES}?window=1s`, at("viz-b"));
    assert.deepEqual([bad.status, bad.body.reason], [400, "BadRequest"]);
    const missing = await world.json<{ reason: string }>(ADMIN, `${SERVICES}/nope`, at("viz-b"));
    assert.deepEqual([missing.status, missing.body.reason], [404, "NotFound"]);
    const refused = await world.json<{ reason: string }>({ name: "bob" }, SERVICES, at("viz-b"));
    assert.deepEqual([refused.status, refused.body.reason], [403, "Forbidden"]);
  });

  it("stream through each other, and end the stream when the scraping moves", async () => {
    const answer = await world.ask(ADMIN, `${SERVICES}?watch=true`, at("viz-b"));
    assert.equal(answer.status, 200);
    const lists: StatList[] = [];
    for await (const line of readLines(answer.body)) {
      lists.push(JSON.parse(line) as StatList);
      if (lists.length === 2) world.elect("viz-b");
    }
    // In good order: a client asks again at once and finds the new one.
    assert.ok(lists.length >= 2);
    const first = lists[0]?.source.since ?? "";
    for (const name of ["viz-a", "viz-b"] as const) {
      const { status, body } = await world.json<StatList>(ADMIN, SERVICES, at(name));
      assert.equal(status, 200, JSON.stringify(body));
      // A new term is a new history, and says so.
      assert.ok(Date.parse(body.source.since) > Date.parse(first));
    }
  });

  it("say what is the matter where the one that scrapes cannot be reached", async () => {
    await replicas.get("viz-b")?.stop();
    const gone = await world.json<{ reason: string; message: string }>(ADMIN, SERVICES, at("viz-a"));
    assert.deepEqual([gone.status, gone.body.reason], [503, "ServiceUnavailable"]);
    assert.match(gone.body.message, /the replica that scrapes \(127\.77\.4\.2\) does not answer/);
    world.elect("");
    await sleep(200);
    const nobody = await world.json<{ message: string }>(ADMIN, SERVICES, at("viz-a"));
    assert.equal(nobody.status, 503);
    assert.match(nobody.body.message, /no replica .* holds the Lease yet/);
  });

  it("serve a renewed certificate at once, without a restart", async () => {
    world.renewServingCertificate();
    await sleep(200);
    // The client trusts only the new authority.
    const { status } = await world.json<unknown>(undefined, "/apis/stats.weft.dev/v1alpha1", at("viz-a"));
    assert.equal(status, 200);
  });

  it("believe each other only by the controller's own identity", async () => {
    world.elect("viz-a");
    await sleep(200);
    const own = await world.json<StatList>(undefined, SERVICES, {
      ...at("viz-a"),
      tls: world.leaf(NAMESPACE, "weft-controller"),
    });
    assert.equal(own.status, 200);
    const other = await world.json<unknown>(undefined, SERVICES, {
      ...at("viz-a"),
      tls: world.leaf(NAMESPACE, "default"),
    });
    assert.equal(other.status, 401);
    const elsewhere = await world.json<unknown>(undefined, SERVICES, {
      ...at("viz-a"),
      tls: world.leaf("shop", "weft-controller"),
    });
    assert.equal(elsewhere.status, 401);
  });
});
