/**
 * A node that goes without a word, and comes back, while the demo is under load. Only where the cluster can be made to do
 * that: WEFT_TEST_CLUSTER_COMMAND names a program that takes `lose NODE` (no warning, as a power cut) and `add NODE`.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../../runtime/kube/types.ts";
import { DEMO_NAMESPACE } from "../../../runtime/mesh/demo-objects.ts";
import { isPodReady, type Pod } from "../../../runtime/mesh/pods.ts";
import { waitForRollout } from "../../../runtime/mesh/rollout.ts";
import { CONTROL_PLANE_NAMESPACE } from "../../../runtime/model/names.ts";
import { demoHealth } from "../../../scripts/support/demo-health.ts";
import { loadLog, nextLoadReport, type Outcomes, outcomesBetween } from "../support/load.ts";
import { connectCluster, ensureDemo, eventually } from "../support/mesh.ts";

const run = promisify(execFile);
/** One pod of each on either node. */
const SPREAD: readonly string[] = ["gateway", "planner", "search-tool", "calculator-tool"];
/** What has one pod, whoever asks, and the cluster's DNS (one pod too: without it nobody finds anybody) stay on the node that lives. */
const KEPT: readonly (readonly [namespace: string, name: string])[] = [
  ["kube-system", "coredns"],
  [DEMO_NAMESPACE, "store"],
  [DEMO_NAMESPACE, "load"],
  [CONTROL_PLANE_NAMESPACE, "weft-controller"],
];
const HOST = "kubernetes.io/hostname";
/** The control plane gives a node that is silent 50 s; then its endpoints go. */
const NOT_READY_MS = 120_000;
const READY_MS = 240_000;
const CALM_MS = 20_000;

interface Node extends KubeObject {
  status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

describe("a node is lost under load, and joins again", () => {
  const command = process.env["WEFT_TEST_CLUSTER_COMMAND"] ?? "";
  let client: KubeClient;
  let kept = "";
  let lost = "";

  before(async () => {
    client = await connectCluster();
    await ensureDemo(client);
    const { items } = await client.list<Node>(resource.nodes);
    [kept = "", lost = ""] = items.map(({ metadata }) => metadata.name).sort();
    assert.ok(lost !== "", "this test needs two nodes");
    for (const [namespace, name] of KEPT) {
      await reshape(namespace, name, { template: { spec: { nodeSelector: { [HOST]: kept } } } });
    }
    for (const name of SPREAD) {
      const spread = [
        {
          maxSkew: 1,
          topologyKey: HOST,
          whenUnsatisfiable: "DoNotSchedule",
          labelSelector: { matchLabels: { app: name } },
          matchLabelKeys: ["pod-template-hash"],
        },
      ];
      await reshape(DEMO_NAMESPACE, name, { replicas: 2, template: { spec: { topologySpreadConstraints: spread } } });
    }
  });

  after(async () => {
    for (const [namespace, name] of KEPT)
      await reshape(namespace, name, { template: { spec: { nodeSelector: { [HOST]: null } } } });
    for (const name of SPREAD) {
      await reshape(DEMO_NAMESPACE, name, { template: { spec: { topologySpreadConstraints: null } } });
    }
    // Replicas as the demo has them.
    await ensureDemo(client);
    client.transport.close();
  });

  it("has pods on both nodes, with figures and full mTLS", async () => {
    for (const name of SPREAD) assert.deepEqual(await nodesOf(name), [kept, lost], name);
    await healthy();
  });

  it("goes on answering, and soon answers everything again", async (test) => {
    const first = await nextLoadReport(client);
    await run(command, ["lose", lost]);
    await eventually(`node ${lost} not ready`, NOT_READY_MS, async () => ((await isReady(lost)) ? undefined : true));
    const during = outcomesBetween(first, await nextLoadReport(client));
    test.diagnostic(`until the node was given up: ${JSON.stringify(during)}`);
    assert.ok((during["ok"] ?? 0) > 0.9 * total(during), `${JSON.stringify(during)}\n${await loadLog(client)}`);
    assert.deepEqual(await calm(), ["ok"]);
    await healthy();
  });

  it("uses the node again once it has joined", async () => {
    await run(command, ["add", lost]);
    await eventually(`node ${lost} ready`, READY_MS, async () => ((await isReady(lost)) ? true : undefined));
    for (const name of SPREAD) {
      await eventually(`${name} on both nodes`, READY_MS, async () =>
        (await nodesOf(name)).join() === [kept, lost].join() ? true : undefined,
      );
    }
    assert.deepEqual(await calm(), ["ok"]);
    await healthy();
  });

  /** Outcomes of some seconds in which nothing changes. */
  async function calm(): Promise<string[]> {
    const begin = await nextLoadReport(client);
    await sleep(CALM_MS);
    const outcomes = outcomesBetween(begin, await nextLoadReport(client));
    assert.ok(total(outcomes) > 50, JSON.stringify(outcomes));
    return Object.keys(outcomes);
  }

  async function healthy(): Promise<void> {
    await eventually("figures and full mTLS of every service", NOT_READY_MS, async () => {
      const { missing } = await demoHealth(client);
      if (missing.length > 0) throw new Error(missing.join("; "));
      return true;
    });
  }

  async function isReady(name: string): Promise<boolean> {
    const { status } = await client.get<Node>(resource.nodes, name);
    return status?.conditions?.some(({ type, status: state }) => type === "Ready" && state === "True") ?? false;
  }

  /** Names of the nodes with a ready pod of this app, sorted. */
  async function nodesOf(app: string): Promise<string[]> {
    const { items } = await client.list<Pod & { spec: { nodeName?: string } }>(resource.pods, {
      namespace: DEMO_NAMESPACE,
      labelSelector: `app=${app}`,
    });
    const ready = items.filter((pod) => isPodReady(pod) && pod.metadata.deletionTimestamp === undefined);
    return ready.map(({ spec }) => spec.nodeName ?? "").sort();
  }

  async function reshape(namespace: string, name: string, spec: object): Promise<void> {
    await client.patch(resource.deployments, name, namespace, { spec });
    const ref = { kind: "Deployment", namespace, name } as const;
    await waitForRollout(client, ref, { deadline: performance.now() + READY_MS }, () => {});
  }
});

function total(outcomes: Outcomes): number {
  return Object.values(outcomes).reduce((sum, count) => sum + count, 0);
}
