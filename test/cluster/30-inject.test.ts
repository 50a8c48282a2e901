import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { applyInject, applyUninject, planInject, planUninject } from "../../runtime/mesh/inject.ts";
import { isPodReady, type Pod } from "../../runtime/mesh/pods.ts";
import { waitForRollout } from "../../runtime/mesh/rollout.ts";
import type { InjectTarget } from "../../runtime/mesh/types.ts";
import { probeWebhook } from "../../runtime/mesh/webhook-probe.ts";
import { annotation, container } from "../../runtime/model/names.ts";
import { weft } from "./support/cli.ts";
import { connectCluster, ensureMesh, eventually, freshNamespace, nodeImage, removeNamespace } from "./support/mesh.ts";

const SERVER =
  "require('node:http').createServer((q, r) => r.end('ok')).listen(8080); process.on('SIGTERM', () => process.exit(0))";

describe("inject and uninject", () => {
  let client: KubeClient;
  let namespace: string;
  let target: InjectTarget;

  before(async () => {
    client = await connectCluster();
    await ensureMesh(client);
    namespace = await freshNamespace(client, "inject");
    target = { kind: "Namespace", namespace, name: namespace };
    await client.create(resource.deployments, deployment("web", {}));
    await client.create(resource.deployments, deployment("host", { hostNetwork: true }, 8081));
    await client.create(resource.deployments, deployment("tokenless", { automountServiceAccountToken: false }));
    await client.create(resource.deployments, deployment("unwilling", {}, 8080, { [annotation.inject]: "disabled" }));
    await client.create(resource.deployments, {
      ...deployment("idle", {}),
      spec: { ...specOf(deployment("idle", {})), replicas: 0 },
    });
    await client.create(resource.statefulSets, statefulSet("state"));
    await client.create(resource.pods, { ...pod({}), metadata: { name: "bare", namespace } } as KubeObject);
    for (const name of ["web", "host", "tokenless", "unwilling"]) await ready("Deployment", name);
    await ready("StatefulSet", "state");
    await eventually("the bare pod is ready", 60_000, async () =>
      isPodReady(await client.get<Pod>(resource.pods, "bare", namespace)) ? true : undefined,
    );
  });

  after(async () => {
    await removeNamespace(client, namespace);
    client.transport.close();
  });

  it("lists what will restart, and why the rest does not", async () => {
    const plan = await planInject(client, target);
    assert.equal(plan.refusal, undefined);
    assert.deepEqual(plan.restarts.map(({ kind, name }) => `${kind} ${name}`).sort(), [
      "Deployment web",
      "StatefulSet state",
    ]);
    const reasons = Object.fromEntries(plan.skipped.map(({ workload, reason }) => [workload.name, reason]));
    assert.match(reasons["host"] ?? "", /hostNetwork/);
    assert.match(reasons["tokenless"] ?? "", /automountServiceAccountToken/);
    assert.match(reasons["unwilling"] ?? "", /says disabled/);
    assert.match(reasons["idle"] ?? "", /runs no pod now; its next one is meshed/);
    assert.match(reasons["bare"] ?? "", /a bare pod: nothing makes it anew/);
  });

  it("gives a proxy to what can have one, and leaves the rest running as it was", async () => {
    const untouched = await podUids(["host", "tokenless", "unwilling", "bare"]);
    const events: string[] = [];
    await applyInject(client, await planInject(client, target), {
      onProgress: ({ state, subject }) => state === "done" && events.push(subject),
    });
    assert.deepEqual(await proxies(), {
      web: true,
      state: true,
      host: false,
      tokenless: false,
      unwilling: false,
      bare: false,
    });
    assert.deepEqual(await podUids(["host", "tokenless", "unwilling", "bare"]), untouched);
    assert.equal(events[0], "webhook answers");
    assert.ok(events.includes(`StatefulSet ${namespace}/state`));
  });

  it("a second time has nothing to restart", async () => {
    const plan = await planInject(client, target);
    assert.deepEqual(plan.restarts, []);
    assert.match(plan.skipped.find(({ workload }) => workload.name === "web")?.reason ?? "", /meshed already/);
  });

  it("is undone for one workload by an annotation of its own where the namespace asks for proxies", async () => {
    const web: InjectTarget = { kind: "Deployment", namespace, name: "web" };
    await applyUninject(client, await planUninject(client, web));
    assert.equal((await proxies())["web"], false);
    const { spec } = await client.get<KubeObject & { spec: ReturnType<typeof specOf> }>(
      resource.deployments,
      "web",
      namespace,
    );
    assert.equal(spec.template.metadata.annotations?.[annotation.inject], "disabled");
  });

  it("by the command gives it back", async () => {
    const without = await weft(["inject", "deploy/web", "-n", namespace]);
    assert.equal(without.code, 1);
    const { code, stdout, stderr } = await weft(["inject", "deploy/web", "-n", namespace, "--yes"]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^~ Deployment ${namespace}/web: restarts$`, "m"));
    assert.equal((await proxies())["web"], true);
  });

  it("is undone for the namespace, and nothing of it stays in what was changed", async () => {
    await applyUninject(client, await planUninject(client, target));
    assert.deepEqual(await proxies(), {
      web: false,
      state: false,
      host: false,
      tokenless: false,
      unwilling: false,
      bare: false,
    });
    const { metadata } = await client.get(resource.namespaces, namespace);
    assert.equal(metadata.annotations?.[annotation.inject], undefined);
  });

  it("refuses where Pod Security forbids NET_ADMIN, naming the label, and is right about it", async () => {
    for (const level of ["baseline", "restricted"]) {
      const guarded = await freshNamespace(client, "guarded", { "pod-security.kubernetes.io/enforce": level });
      try {
        const plan = await planInject(client, { kind: "Namespace", namespace: guarded, name: guarded });
        assert.match(
          plan.refusal ?? "",
          new RegExp(`label pod-security\\.kubernetes\\.io/enforce=${level} .*NET_ADMIN`),
        );
        await assert.rejects(applyInject(client, plan), MeshError);
        const { metadata } = await client.get(resource.namespaces, guarded);
        assert.equal(metadata.annotations?.[annotation.inject], undefined);
        // The API server itself, asked with a pod that gets a proxy.
        const error = await client.create(resource.pods, meshedProbe(guarded), { dryRun: true }).then(
          () => undefined,
          (caught: unknown) => caught,
        );
        assert.match(error instanceof Error ? error.message : "admitted", /violates PodSecurity.*linkerd-init/s);
      } finally {
        await removeNamespace(client, guarded);
      }
    }
  });

  it("changes nothing where a quota would keep the restarted pods from starting", async () => {
    const crowded = await freshNamespace(client, "crowded");
    try {
      await client.create(resource.deployments, {
        ...deployment("web", {}),
        metadata: { name: "web", namespace: crowded },
      });
      await waitForRollout(client, { kind: "Deployment", namespace: crowded, name: "web" }, patience(), () => {});
      await client.json({
        method: "POST",
        path: `/api/v1/namespaces/${crowded}/resourcequotas`,
        body: { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "full" }, spec: { hard: { pods: "1" } } },
      });
      const plan = await eventually("the quota counts", 30_000, async () => {
        const found = await planInject(client, { kind: "Deployment", namespace: crowded, name: "web" });
        return found.skipped.length > 0 ? found : undefined;
      });
      assert.match(plan.skipped[0]?.reason ?? "", /a trial was refused: .*exceeded quota: full/);
    } finally {
      await removeNamespace(client, crowded);
    }
  });

  it("refuses what is not there and where no proxy belongs, each with the next step", async () => {
    const missing: InjectTarget = { kind: "Namespace", namespace: "weft-test-nowhere", name: "weft-test-nowhere" };
    await assert.rejects(planInject(client, missing), /there is no namespace weft-test-nowhere/);
    await assert.rejects(
      planInject(client, { kind: "Deployment", namespace, name: "nope" }),
      /there is no Deployment nope/,
    );
    for (const name of ["kube-system", "weft"]) {
      const plan = await planInject(client, { kind: "Namespace", namespace: name, name });
      assert.match(plan.refusal ?? "", new RegExp(name));
    }
    const { code, stderr } = await weft(["inject", "ns/weft-test-nowhere", "--yes"]);
    assert.equal(code, 1);
    assert.match(stderr, /× there is no namespace weft-test-nowhere\n {2}See which there are/);
  });

  it("asks the webhook with a pod that is never made", async () => {
    const before = (await client.list(resource.pods, { namespace })).items.length;
    assert.deepEqual(await probeWebhook(client, namespace), { kind: "injected" });
    assert.equal((await client.list(resource.pods, { namespace })).items.length, before);
  });

  function pod(extra: Record<string, unknown>, port = 8080): { apiVersion: string; kind: string; spec: object } {
    return {
      apiVersion: "v1",
      kind: "Pod",
      spec: {
        terminationGracePeriodSeconds: 5,
        containers: [
          {
            name: "web",
            image: nodeImage,
            imagePullPolicy: "IfNotPresent",
            command: ["node", "-e", SERVER.replace("8080", String(port))],
            ports: [{ containerPort: port }],
            readinessProbe: { httpGet: { path: "/", port }, periodSeconds: 1 },
          },
        ],
        ...extra,
      },
    };
  }

  function deployment(
    name: string,
    extra: Record<string, unknown>,
    port = 8080,
    annotations: Record<string, string> = {},
  ): KubeObject {
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: name } },
        template: { metadata: { labels: { app: name }, annotations }, spec: pod(extra, port).spec },
      },
    };
  }

  function statefulSet(name: string): KubeObject {
    const { spec } = deployment(name, {});
    return {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name, namespace },
      spec: { ...(spec as object), serviceName: name },
    };
  }

  function meshedProbe(where: string): KubeObject {
    return {
      ...pod({}),
      metadata: { name: "probe", namespace: where, annotations: { [annotation.inject]: "enabled" } },
    };
  }

  async function ready(kind: "Deployment" | "StatefulSet", name: string): Promise<void> {
    await waitForRollout(client, { kind, namespace, name }, patience(), () => {});
  }

  /** Which of the names before the first dash carries a proxy, by its one pod. */
  async function proxies(): Promise<Record<string, boolean>> {
    return Object.fromEntries(
      (await readyPods()).map(({ metadata, spec }) => [
        metadata.name.split("-")[0],
        (spec.initContainers ?? []).some(({ name }) => name === container.proxy),
      ]),
    );
  }

  async function podUids(names: readonly string[]): Promise<(string | undefined)[]> {
    const pods = await readyPods();
    return names.map((name) => pods.find(({ metadata }) => metadata.name.startsWith(name))?.metadata.uid);
  }

  async function readyPods(): Promise<Pod[]> {
    const { items } = await client.list<Pod>(resource.pods, { namespace });
    return items.filter((entry) => entry.metadata.deletionTimestamp === undefined && isPodReady(entry));
  }
});

function specOf(object: KubeObject): { template: { metadata: { annotations?: Record<string, string> } } } {
  return object["spec"] as ReturnType<typeof specOf>;
}

function patience(): { deadline: number } {
  return { deadline: performance.now() + 120_000 };
}
