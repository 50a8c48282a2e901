import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient } from "../../runtime/kube/types.ts";
import { applyRemoveDemo, planRemoveDemo } from "../../runtime/mesh/demo.ts";
import { DEMO_NAMESPACE } from "../../runtime/mesh/demo-objects.ts";
import { detectMesh } from "../../runtime/mesh/detect.ts";
import { applyUninject } from "../../runtime/mesh/inject.ts";
import { meshedPods } from "../../runtime/mesh/meshed.ts";
import { isPodReady, type Pod } from "../../runtime/mesh/pods.ts";
import { planUninjectAll } from "../../runtime/mesh/uninject-all.ts";
import { applyUninstall, planUninstall } from "../../runtime/mesh/uninstall.ts";
import { takeBaseline } from "./support/baseline.ts";
import { weft } from "./support/cli.ts";
import { takeInventory } from "./support/inventory.ts";
import { nextLoadReport, outcomesBetween } from "./support/load.ts";
import { connectCluster, ensureDemo, narrate, removeNamespace, TEST_NAMESPACE_PREFIX } from "./support/mesh.ts";

describe("an uninstall", () => {
  let client: KubeClient;

  before(async () => {
    client = await connectCluster();
    await ensureDemo(client);
  });

  after(() => client.transport.close());

  it("lists first what carries a proxy, and asks what to do about it", async () => {
    const plan = await planUninstall(client);
    const demo = plan.meshed.filter(({ namespace }) => namespace === DEMO_NAMESPACE);
    assert.deepEqual(demo.map(({ kind, name }) => `${kind} ${name}`).sort(), [
      "Deployment calculator-tool",
      "Deployment gateway",
      "Deployment load",
      "Deployment planner",
      "Deployment search-tool",
      "Deployment store",
    ]);
    const { code, stdout, stderr } = await weft(["uninstall", "--yes"]);
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`^ {2}Deployment ${DEMO_NAMESPACE}/gateway carries a proxy$`, "m"));
    assert.match(stderr, /workloads still carry a proxy\n {2}--uninject takes them away first/);
  });

  it("takes webhooks and APIServices before what serves them, and the namespace last", async () => {
    const kinds = (await planUninstall(client)).objects.map(({ kind }) => kind);
    const last = (kind: string) => kinds.lastIndexOf(kind);
    assert.ok(last("MutatingWebhookConfiguration") < kinds.indexOf("APIService"));
    assert.ok(last("APIService") < kinds.indexOf("Deployment"));
    assert.ok(last("Deployment") < kinds.indexOf("ClusterRoleBinding"));
    assert.ok(last("ConfigMap") < kinds.indexOf("Namespace"));
    assert.equal(kinds.at(-1), "Namespace");
  });

  it("uninjects first where that is wanted: every pod starts again without a proxy, and the demo goes on", async () => {
    const plans = (await planUninjectAll(client)).filter(({ target }) => target.namespace === DEMO_NAMESPACE);
    assert.deepEqual(
      plans.map(({ target }) => `${target.kind} ${target.name}`),
      [`Namespace ${DEMO_NAMESPACE}`],
    );
    for (const plan of plans) await applyUninject(client, plan, { onProgress: narrate });
    assert.deepEqual(await meshedPods(client, "weft", DEMO_NAMESPACE), []);
    const { items } = await client.list<Pod>(resource.pods, { namespace: DEMO_NAMESPACE });
    assert.ok(items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).every(isPodReady));
    const first = await nextLoadReport(client);
    assert.ok((outcomesBetween(first, await nextLoadReport(client))["ok"] ?? 0) > 50);
  });

  it("leaves nothing", async () => {
    await applyRemoveDemo(client, await planRemoveDemo(client));
    await applyUninstall(client, await planUninstall(client), { onProgress: narrate });
    assert.deepEqual(await detectMesh(client), { kind: "absent" });
    const { objects, ours } = await takeInventory(client);
    assert.deepEqual(ours.filter(madeByTheMesh), []);
    const baseline = await takeBaseline(client);
    if (baseline === undefined) return;
    const before = new Set(baseline);
    assert.deepEqual(
      objects.filter((key) => !before.has(key) && madeByTheMesh(key)),
      [],
    );
  });

  it("has nothing to do a second time, and the cluster can delete namespaces", async () => {
    const { code, stdout } = await weft(["uninstall", "--yes"]);
    assert.equal(code, 0);
    assert.match(stdout, /Weft is not installed: there is nothing to do\./);
    const name = `${TEST_NAMESPACE_PREFIX}after`;
    await client.create(resource.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    await removeNamespace(client, name);
  });

  /** On a cluster that others use meanwhile, what is in namespaces of theirs is not the mesh's. */
  function madeByTheMesh(key: string): boolean {
    const [, namespace = "", name = ""] = /^\S+ ([^/]*)\/(.*)$/.exec(key) ?? [];
    const place = namespace === "" ? name : namespace;
    const ofOthers = /^weft-(?!demo$|test-|controller|stats|tap|proxy-injector)/.test(place);
    return !ofOthers && !key.startsWith("v1/nodes ") && namespace !== "kube-node-lease";
  }
});
