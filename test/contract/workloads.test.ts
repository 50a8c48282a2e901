import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { type Answer, type Cluster, connect, eventually, type Json } from "./support/cluster.ts";

const IMAGE = process.env["WEFT_TEST_NODE_IMAGE"] ?? "docker.io/library/node:24-slim";
/** Answers over HTTP, ends at SIGTERM at once. */
const SERVE =
  'process.on("SIGTERM",()=>process.exit(0));require("http").createServer((q,r)=>r.end("ok")).listen(8080);console.log("serving")';

describe("a workload", () => {
  let cluster: Cluster;
  let deployments: string;

  before(async () => {
    cluster = await connect();
    deployments = `/apis/apps/v1/namespaces/${cluster.namespace}/deployments`;
    await cluster.client.create(resource.deployments, web(2));
    await cluster.client.create(resource.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: cluster.namespace },
      spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "web" }] },
    });
  });
  after(() => cluster.close());

  function web(replicas: number): KubeObject {
    const container = {
      name: "main",
      image: IMAGE,
      imagePullPolicy: "IfNotPresent",
      command: ["node", "-e", SERVE],
      ports: [{ name: "web", containerPort: 8080 }],
      readinessProbe: { httpGet: { path: "/", port: "web" }, periodSeconds: 1 },
    };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: cluster.namespace },
      spec: {
        replicas,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: { containers: [container], terminationGracePeriodSeconds: 5 },
        },
      },
    };
  }
  const merge = (path: string, body: Json): Promise<Answer> =>
    cluster.ask("PATCH", path, { headers: { "content-type": "application/merge-patch+json" }, body });
  const settled = (): Promise<Answer["body"]> =>
    eventually(
      "the Deployment to be complete",
      async () => {
        const { body } = await cluster.ask("GET", `${deployments}/web`);
        const { status, spec, metadata } = body;
        const complete =
          status.observedGeneration === metadata.generation &&
          status.updatedReplicas === spec.replicas &&
          status.replicas === spec.replicas &&
          status.availableReplicas === spec.replicas;
        return complete ? body : undefined;
      },
      90_000,
    );
  const sets = async (): Promise<KubeObject[]> =>
    (await cluster.client.list(resource.replicaSets, { namespace: cluster.namespace, labelSelector: "app=web" })).items;
  const pods = async (): Promise<KubeObject[]> =>
    (await cluster.client.list(resource.pods, { namespace: cluster.namespace, labelSelector: "app=web" })).items;

  it("makes a ReplicaSet, which makes pods, which get ready", async () => {
    const deployment = await settled();
    assert.equal(deployment.metadata.annotations["deployment.kubernetes.io/revision"], "1");
    assert.deepEqual(
      deployment.status.conditions.map(({ type, status, reason }: Json) => [type, status, reason]).sort(),
      [
        ["Available", "True", "MinimumReplicasAvailable"],
        ["Progressing", "True", "NewReplicaSetAvailable"],
      ],
    );
    assert.equal(deployment.status.readyReplicas, 2);
    assert.equal(deployment.status.unavailableReplicas, undefined);
    const [set, ...others] = await sets();
    assert.equal(others.length, 0);
    const hash = set?.metadata.labels?.["pod-template-hash"] ?? "";
    assert.equal(set?.metadata.name, `web-${hash}`);
    assert.deepEqual((set as Answer["body"]).spec.selector, { matchLabels: { app: "web", "pod-template-hash": hash } });
    assert.deepEqual(set?.metadata.annotations, {
      "deployment.kubernetes.io/desired-replicas": "2",
      "deployment.kubernetes.io/max-replicas": "3",
      "deployment.kubernetes.io/revision": "1",
    });
    const owner = set?.metadata.ownerReferences?.[0];
    assert.deepEqual(
      { kind: owner?.kind, name: owner?.name, controller: owner?.controller, block: owner?.blockOwnerDeletion },
      { kind: "Deployment", name: "web", controller: true, block: true },
    );
    for (const pod of await pods()) {
      assert.match(pod.metadata.name, new RegExp(`^web-${hash}-[a-z0-9]{5}$`));
      assert.equal(pod.metadata.generateName, `web-${hash}-`);
      assert.deepEqual(pod.metadata.labels, { app: "web", "pod-template-hash": hash });
      const status = pod["status"] as Answer["body"];
      assert.equal(status.phase, "Running");
      const conditions = status.conditions.map(({ type, status: is }: Json) => `${type} ${is}`).sort();
      for (const type of ["ContainersReady", "Initialized", "PodScheduled", "Ready"])
        assert.ok(conditions.includes(`${type} True`), type);
    }
  });

  it("stands behind its Service", async () => {
    const slice = await eventually("two ready endpoints", async () => {
      const list = await cluster.client.list(resource.endpointSlices, {
        namespace: cluster.namespace,
        labelSelector: "kubernetes.io/service-name=web",
      });
      const found = list.items[0] as Answer["body"] | undefined;
      return found?.endpoints?.filter((entry: Answer["body"]) => entry.conditions.ready).length === 2
        ? found
        : undefined;
    });
    assert.match(slice.metadata.name, /^web-[a-z0-9]{5}$/);
    assert.equal(slice.addressType, "IPv4");
    assert.equal(slice.metadata.labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert.equal(slice.metadata.ownerReferences[0].kind, "Service");
    assert.deepEqual(slice.ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
    const [endpoint] = slice.endpoints;
    assert.deepEqual(endpoint.conditions, { ready: true, serving: true, terminating: false });
    assert.equal(endpoint.targetRef.kind, "Pod");
    assert.ok(typeof endpoint.nodeName === "string");
    const { body: endpoints } = await cluster.ask("GET", `/api/v1/namespaces/${cluster.namespace}/endpoints/web`);
    assert.equal(endpoints.subsets[0].addresses.length, 2);
    assert.deepEqual(endpoints.subsets[0].ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
  });

  it("has logs", async () => {
    const [pod] = await pods();
    const { body } = await cluster.ask("GET", `/api/v1/namespaces/${cluster.namespace}/pods/${pod?.metadata.name}/log`);
    assert.equal(body.text, "serving\n");
    const other = await cluster.ask("GET", `/api/v1/namespaces/${cluster.namespace}/pods/${pod?.metadata.name}/log`, {
      query: { container: "none" },
    });
    assert.equal(other.status, 400);
    assert.equal(other.body.message, `container none is not valid for pod ${pod?.metadata.name}`);
  });

  it("is reached through the API server, pod and Service", async () => {
    const [pod] = await pods();
    const root = `/api/v1/namespaces/${cluster.namespace}`;
    for (const name of [`pods/${pod?.metadata.name}:8080`, "services/web:http", "services/web:80"]) {
      const answer = await cluster.ask("GET", `${root}/${name}/proxy/some/path`);
      assert.deepEqual([answer.status, answer.body.text], [200, "ok"], name);
    }
    assert.equal((await cluster.ask("GET", `${root}/pods/nowhere:80/proxy/`)).status, 404);
    assert.equal((await cluster.ask("GET", `${root}/services/web:nope/proxy/`)).status, 503);
  });

  it("grows and shrinks, by its scale too", async () => {
    const scaled = await merge(`${deployments}/web/scale`, { spec: { replicas: 3 } });
    assert.equal(scaled.status, 200);
    assert.equal(scaled.body.kind, "Scale");
    assert.equal(scaled.body.spec.replicas, 3);
    assert.equal((await settled()).spec.replicas, 3);
    await merge(`${deployments}/web`, { spec: { replicas: 2 } });
    await settled();
    assert.equal((await sets()).length, 1);
    const events = await cluster.client.list(resource.events, {
      namespace: cluster.namespace,
      fieldSelector: "involvedObject.name=web,involvedObject.kind=Deployment",
    });
    assert.ok(
      events.items.some(
        (event) =>
          event["reason"] === "ScalingReplicaSet" &&
          /^Scaled down replica set web-.* from 3 to 2$/.test(String(event["message"])),
      ),
    );
  });

  it("rolls to a new template without going below what must be available", async () => {
    let least = Number.POSITIVE_INFINITY;
    let watching = true;
    const watch = (async () => {
      while (watching) {
        const { body } = await cluster.ask("GET", `${deployments}/web`);
        least = Math.min(least, body.status.availableReplicas ?? 0);
      }
    })();
    await merge(`${deployments}/web`, {
      spec: {
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z" } } },
      },
    });
    const deployment = await settled();
    watching = false;
    await watch;
    assert.equal(least, 2);
    assert.equal(deployment.metadata.annotations["deployment.kubernetes.io/revision"], "2");
    const all = await sets();
    assert.deepEqual(all.map((set) => (set["spec"] as Json)["replicas"]).sort(), [0, 2]);
    await eventually("old pods to be gone", async () => (await pods()).length === 2);
  });

  it("comes back to an old template by its ReplicaSet", async () => {
    await merge(`${deployments}/web`, { spec: { template: { metadata: { annotations: null } } } });
    const deployment = await settled();
    assert.equal(deployment.metadata.annotations["deployment.kubernetes.io/revision"], "3");
    assert.equal((await sets()).length, 2);
  });

  it("replaces a pod that goes", async () => {
    const [first] = await pods();
    await cluster.client.delete(resource.pods, first?.metadata.name ?? "", cluster.namespace);
    await eventually("another pod", async () => {
      const now = await pods();
      return now.length === 2 && now.every(({ metadata }) => metadata.uid !== first?.metadata.uid);
    });
    await settled();
  });

  it("takes all of it along when it goes", async () => {
    await cluster.client.delete(resource.deployments, "web", cluster.namespace);
    await eventually(
      "its ReplicaSets and pods to go",
      async () => (await sets()).length + (await pods()).length === 0,
      60_000,
    );
    const { items } = await cluster.client.list(resource.endpointSlices, { namespace: cluster.namespace });
    assert.deepEqual((items[0] as Answer["body"]).endpoints ?? [], []);
  });

  it("of another scheduler is left to it", async () => {
    const { namespace } = cluster;
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "other", namespace } };
    const spec = { schedulerName: "nobody", containers: [{ name: "main", image: IMAGE }] };
    await cluster.client.create(resource.pods, { ...pod, spec });
    const witness = {
      ...pod,
      metadata: { name: "witness", namespace },
      spec: { ...spec, schedulerName: "default-scheduler" },
    };
    await cluster.client.create(resource.pods, witness);
    const nodeOf = async (name: string): Promise<unknown> =>
      ((await cluster.client.get(resource.pods, name, namespace))["spec"] as Json)["nodeName"];
    await eventually("the witness to have a node", async () => (await nodeOf("witness")) !== undefined);
    assert.equal(await nodeOf("other"), undefined);
    const removed = await cluster.ask("DELETE", `/api/v1/namespaces/${namespace}/pods/other`);
    assert.equal(removed.status, 200);
    assert.equal(
      (await cluster.ask("GET", `/api/v1/namespaces/${namespace}/pods/other`)).status,
      404,
      "nobody has to end it",
    );
  });

  it("whose pods are refused says why", async () => {
    const refused = web(1);
    refused.metadata.name = "refused";
    const spec = refused["spec"] as Answer["body"];
    spec.template.spec.serviceAccountName = "nobody";
    await cluster.client.create(resource.deployments, refused);
    const condition = await eventually("ReplicaFailure", async () => {
      const { body } = await cluster.ask("GET", `${deployments}/refused`);
      return (body.status.conditions ?? []).find(({ type }: Json) => type === "ReplicaFailure") as Json | undefined;
    });
    assert.equal(condition["reason"], "FailedCreate");
    assert.match(
      String(condition["message"]),
      /pods "refused-.*" is forbidden: error looking up service account .*: serviceaccount "nobody" not found/,
    );
  });
});
