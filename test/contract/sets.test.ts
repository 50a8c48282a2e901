import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { type Answer, type Cluster, connect, eventually, type Json } from "./support/cluster.ts";

const IMAGE = process.env["WEFT_TEST_NODE_IMAGE"] ?? "docker.io/library/node:24-slim";
const WAIT = 'process.on("SIGTERM",()=>process.exit(0));setInterval(()=>{},1e6)';

describe("sets of pods", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  const spec = (name: string, more: Json): Json => ({
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        terminationGracePeriodSeconds: 5,
        containers: [{ name: "main", image: IMAGE, imagePullPolicy: "IfNotPresent", command: ["node", "-e", WAIT] }],
      },
    },
    ...more,
  });
  const pods = async (name: string): Promise<KubeObject[]> =>
    (await cluster.client.list(resource.pods, { namespace: cluster.namespace, labelSelector: `app=${name}` })).items;
  const restart = { spec: { template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } } } } };
  const get = async (plural: string, name: string): Promise<Answer["body"]> =>
    (await cluster.ask("GET", `/apis/apps/v1/namespaces/${cluster.namespace}/${plural}/${name}`)).body;

  it("StatefulSets: names in order, one after the other, kept over a restart", async () => {
    const { namespace } = cluster;
    const object: KubeObject = {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "state", namespace },
      spec: spec("state", { serviceName: "state", replicas: 2 }),
    };
    await cluster.client.create(resource.statefulSets, object);
    const settled = (): Promise<Answer["body"]> =>
      eventually(
        "the StatefulSet",
        async () => {
          const body = await get("statefulsets", "state");
          const { status, metadata } = body;
          const done =
            status.observedGeneration === metadata.generation &&
            status.readyReplicas === 2 &&
            status.updatedReplicas === 2 &&
            status.currentRevision === status.updateRevision;
          return done ? body : undefined;
        },
        90_000,
      );
    const before = await settled();
    assert.deepEqual(before.spec.updateStrategy, { type: "RollingUpdate", rollingUpdate: { partition: 0 } });
    const first = await pods("state");
    assert.deepEqual(first.map(({ metadata }) => metadata.name).sort(), ["state-0", "state-1"]);
    for (const { metadata } of first) {
      assert.equal(metadata.labels?.["statefulset.kubernetes.io/pod-name"], metadata.name);
      assert.equal(metadata.labels?.["controller-revision-hash"], before.status.updateRevision);
      assert.equal(metadata.ownerReferences?.[0]?.kind, "StatefulSet");
    }
    await cluster.client.patch(resource.statefulSets, "state", namespace, restart);
    await eventually(
      "new pods",
      async () => {
        const now = await pods("state");
        return now.length === 2 && now.every(({ metadata }) => first.every((old) => old.metadata.uid !== metadata.uid));
      },
      90_000,
    );
    const after = await settled();
    assert.notEqual(after.status.updateRevision, before.status.updateRevision);
  });

  it("DaemonSets: one on every node, kept over a restart", async () => {
    const { namespace } = cluster;
    const object: KubeObject = {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "daemon", namespace },
      spec: spec("daemon", {}),
    };
    await cluster.client.create(resource.daemonSets, object);
    const nodes = (await cluster.client.list(resource.nodes)).items.map(({ metadata }) => metadata.name).sort();
    const settled = (): Promise<Answer["body"]> =>
      eventually(
        "the DaemonSet",
        async () => {
          const body = await get("daemonsets", "daemon");
          const { status, metadata } = body;
          const done =
            status.observedGeneration === metadata.generation &&
            status.numberAvailable === nodes.length &&
            status.updatedNumberScheduled === nodes.length;
          return done ? body : undefined;
        },
        90_000,
      );
    const body = await settled();
    assert.equal(body.status.desiredNumberScheduled, nodes.length);
    const first = await pods("daemon");
    assert.deepEqual(first.map((pod) => (pod as Answer["body"]).spec.nodeName).sort(), nodes);
    await cluster.client.patch(resource.daemonSets, "daemon", namespace, restart);
    await eventually(
      "new pods",
      async () => {
        const now = await pods("daemon");
        return (
          now.length === nodes.length &&
          now.every(({ metadata }) => first.every((old) => old.metadata.uid !== metadata.uid))
        );
      },
      90_000,
    );
    await settled();
  });
});
