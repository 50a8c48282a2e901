import assert from "node:assert/strict";
import { request } from "node:https";
import { after, before, beforeEach, describe, it } from "node:test";
import { createLog } from "../../runtime/controller/config/log.ts";
import { ClusterState } from "../../runtime/controller/destination/cluster-state.ts";
import type { AdmissionResponse } from "../../runtime/controller/injector/admission.ts";
import { NamespaceKeeper } from "../../runtime/controller/injector/namespace-keeper.ts";
import type { PatchOperation } from "../../runtime/controller/injector/patch.ts";
import type { Pod } from "../../runtime/controller/injector/pod.ts";
import { createServingCertificate } from "../../runtime/controller/pki/authorities.ts";
import { tlsSecret } from "../../runtime/controller/pki/tls-secret.ts";
import { hasStatus } from "../../runtime/kube/errors.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { BUNDLE_MAIN } from "../../runtime/model/bundle.ts";
import { controlSecret } from "../../runtime/model/control-plane-rbac.ts";
import { proxyBundleName, TRUST_ROOTS } from "../../runtime/model/names.ts";
import { applyPatch } from "../unit/controller/support.ts";
import { clusterClient, createNamespace, eventually } from "./support/cluster.ts";
import { startTestController, type TestController, trustRoots } from "./support/test-controller.ts";

type ConfigMap = KubeObject & {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
  immutable?: boolean;
};

describe("injection, with objects of a real API server", () => {
  let client: KubeClient;
  let test: TestController;
  let namespace: string;
  let ca: string;
  const namespaces: string[] = [];

  before(async () => {
    client = await clusterClient();
    test = await startTestController(client);
    const secret = await client.get<KubeObject & { data: Record<string, string> }>(
      resource.secrets,
      controlSecret.injectorTls,
      test.namespace,
    );
    ca = Buffer.from(secret.data["ca.crt"] ?? "", "base64").toString();
  });
  beforeEach(async () => {
    namespace = await createNamespace(client, "weft-inject", {
      annotations: { "linkerd.io/inject": "enabled", "config.linkerd.io/proxy-memory-limit": "96Mi" },
    });
    namespaces.push(namespace);
  });
  after(async () => {
    await test.stop();
    for (const name of [...namespaces, test.namespace]) await client.delete(resource.namespaces, name);
    client.transport.close();
  });

  const bundleName = (): string => proxyBundleName(test.mesh.proxy.hash);
  const configMap = (name: string): Promise<ConfigMap | undefined> =>
    client.find<ConfigMap>(resource.configMaps, name, namespace);

  /** What the API server would send, over TLS to the front. */
  async function review(object: unknown, fields: Record<string, unknown> = {}): Promise<AdmissionResponse> {
    const host = `weft-injector.${test.namespace}.svc`;
    const body = JSON.stringify({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      request: {
        uid: "0",
        kind: { group: "", version: "v1", kind: "Pod" },
        namespace,
        operation: "CREATE",
        object,
        ...fields,
      },
    });
    const text = await new Promise<string>((resolve, reject) => {
      const call = request(
        {
          host: "127.0.0.1",
          port: test.controller.ports.api,
          servername: host,
          ca,
          method: "POST",
          path: "/?timeout=10s",
        },
        (answer) => {
          let received = "";
          answer.on("data", (chunk: Buffer) => {
            received += chunk.toString();
          });
          answer.on("end", () => resolve(received));
        },
      );
      call.on("error", reject);
      call.end(body);
    });
    const answer = JSON.parse(text) as { apiVersion: string; response: AdmissionResponse };
    assert.equal(answer.apiVersion, "admission.k8s.io/v1");
    return answer.response;
  }

  /** As the API server hands it to webhooks: defaults filled in, no name yet. */
  async function plainPod(annotations: Record<string, string> = {}): Promise<Pod & KubeObject> {
    const made = await client.create<KubeObject>(
      resource.pods,
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "x", namespace, annotations: { "linkerd.io/inject": "disabled" } },
        spec: { containers: [{ name: "app", image: "weft.invalid/none", ports: [{ containerPort: 8080 }] }] },
      },
      { dryRun: true },
    );
    const { name: _, ...metadata } = made.metadata;
    return { ...made, metadata: { generateName: "x-", ...metadata, annotations } } as unknown as Pod & KubeObject;
  }

  function patched(pod: Pod & KubeObject, response: AdmissionResponse): Pod & KubeObject {
    const operations = JSON.parse(Buffer.from(response.patch ?? "", "base64").toString()) as PatchOperation[];
    return applyPatch(pod, operations);
  }

  it("makes a pod that a real API server takes, after its namespace has bundle and trust anchors", async () => {
    const pod = await plainPod();
    const response = await review(pod);
    assert.deepEqual([response.allowed, response.patchType], [true, "JSONPatch"]);
    const bundle = await configMap(bundleName());
    assert.equal(bundle?.immutable, true);
    const original = await client.get<ConfigMap>(resource.configMaps, bundleName(), test.namespace);
    assert.deepEqual(bundle.binaryData, original.binaryData);
    assert.equal((await configMap(TRUST_ROOTS.configMap))?.data?.[TRUST_ROOTS.key], await trustRoots(test));

    const injected = patched(pod, response);
    injected.metadata.annotations = { ...injected.metadata.annotations, "linkerd.io/inject": "disabled" };
    for (const field of ["uid", "creationTimestamp"])
      delete (injected.metadata as unknown as Record<string, unknown>)[field];
    const taken = await client.create<KubeObject & Pod>(resource.pods, injected, { dryRun: true });
    const proxy = taken.spec.initContainers?.find(({ name }) => name === "linkerd-proxy") as unknown as {
      resources: unknown;
      command: string[];
    };
    assert.deepEqual(proxy.resources, { requests: { cpu: "10m", memory: "96Mi" }, limits: { memory: "96Mi" } });
    // The kubelet halves $$: the loader comes out as it was.
    assert.equal(proxy.command.at(-1)?.replaceAll("$$", "$"), test.mesh.proxy.loader);
  });

  it("answers a dry run in full and writes nothing", async () => {
    const response = await review(await plainPod(), { dryRun: true });
    assert.equal(response.patchType, "JSONPatch");
    assert.equal(await configMap(bundleName()), undefined);
    assert.equal(await configMap(TRUST_ROOTS.configMap), undefined);
  });

  it("leaves a pod alone that says so, and other kinds", async () => {
    const disabled = await review(await plainPod({ "linkerd.io/inject": "disabled" }));
    assert.deepEqual(disabled, { uid: "0", allowed: true });
    const other = await review({}, { kind: { group: "", version: "v1", kind: "Service" } });
    assert.deepEqual(other, { uid: "0", allowed: true });
    assert.equal(await configMap(bundleName()), undefined);
  });

  it("refuses a pod whose namespace holds a bundle that is not the mesh's, and says what to do", async () => {
    await client.create<ConfigMap>(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: bundleName(), namespace },
      binaryData: { [BUNDLE_MAIN]: Buffer.from("evil").toString("base64") },
    });
    const response = await review(await plainPod());
    assert.equal(response.allowed, false);
    assert.match(response.status?.message ?? "", /is not the one this mesh was installed with.*delete it/);
    await client.delete(resource.configMaps, bundleName(), namespace);
    assert.equal((await review(await plainPod())).allowed, true);
  });

  it("keeps anchors that somebody else put there", async () => {
    await client.create<ConfigMap>(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: TRUST_ROOTS.configMap, namespace },
      data: { [TRUST_ROOTS.key]: "theirs" },
    });
    assert.equal((await review(await plainPod())).allowed, true);
    assert.equal((await configMap(TRUST_ROOTS.configMap))?.data?.[TRUST_ROOTS.key], "theirs");
  });

  it("tells the workload above the pod, skipped with the reason", async () => {
    const deployment = await client.create<KubeObject>(resource.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace, annotations: {} },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" }, annotations: { "linkerd.io/inject": "disabled" } },
          spec: { schedulerName: "nobody", containers: [{ name: "app", image: "weft.invalid/none" }] },
        },
      },
    });
    const replicaSet = await eventually(async () => {
      const { items } = await client.list<KubeObject>(resource.replicaSets, { namespace });
      return items[0];
    });
    const pod = await plainPod();
    const owned = {
      ...pod,
      metadata: {
        ...pod.metadata,
        ownerReferences: [
          {
            apiVersion: "apps/v1",
            kind: "ReplicaSet",
            name: replicaSet.metadata.name,
            uid: replicaSet.metadata.uid ?? "",
            controller: true,
          },
        ],
      },
    };
    const injected = patched(owned as Pod & KubeObject, await review(owned));
    assert.equal(injected.metadata.labels?.["linkerd.io/proxy-deployment"], "web");
    await review({ ...owned, spec: { ...owned.spec, hostNetwork: true } });
    const events = await eventually(async () => {
      const { items } = await client.list<
        KubeObject & { reason: string; message: string; involvedObject: KubeObject["metadata"] }
      >(resource.events, { namespace });
      const ours = items.filter(({ involvedObject }) => involvedObject.uid === deployment.metadata.uid);
      const reasons = ours.map(({ reason }) => reason);
      return reasons.includes("Injected") && reasons.includes("InjectionSkipped") ? ours : undefined;
    });
    const skipped = events.find(({ reason }) => reason === "InjectionSkipped");
    assert.match(skipped?.message ?? "", /host_network_enabled/);
  });

  it("answers while a namespace goes away with the API server's own reason", async () => {
    const gone = await createNamespace(client, "weft-inject", { annotations: { "linkerd.io/inject": "enabled" } });
    namespaces.push(gone);
    const pod = await plainPod();
    // A finalizer keeps it Terminating.
    await client.patch(resource.namespaces, gone, undefined, { metadata: { finalizers: ["weft.dev/test"] } });
    await client.delete(resource.namespaces, gone);
    const response = await review(pod, { namespace: gone });
    assert.equal(response.allowed, false);
    assert.match(response.status?.message ?? "", /being terminated/);
    await client
      .patch(resource.namespaces, gone, undefined, { metadata: { finalizers: null } })
      .catch((error: unknown) => {
        if (!hasStatus(error, 404)) throw error;
      });
  });

  it("serves a renewed certificate to new connections", async () => {
    const host = `weft-injector.${test.namespace}.svc`;
    const renewed = createServingCertificate([host], new Date(), ca);
    const { data } = tlsSecret(test.namespace, controlSecret.injectorTls, "", renewed);
    await client.patch(resource.secrets, controlSecret.injectorTls, test.namespace, { data });
    const old = ca;
    // Only the new authority, without the old one that `ca` keeps for a while.
    ca = renewed.ca?.slice(0, renewed.ca.indexOf("-----END CERTIFICATE-----") + 26) ?? "";
    assert.ok(!old.includes(ca));
    const pod = await plainPod();
    await eventually(async () => (await review(pod)).allowed || undefined);
  });

  it("removes copies of bundle and anchors when no pod refers to them, and only its own", async () => {
    const pod = await plainPod();
    await review(pod);
    const foreign = await createNamespace(client, "weft-inject");
    namespaces.push(foreign);
    const theirs = { [TRUST_ROOTS.key]: "theirs" };
    await client.create<ConfigMap>(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: TRUST_ROOTS.configMap, namespace: foreign },
      data: theirs,
    });
    const state = new ClusterState(client, createLog("test", "error"));
    try {
      await state.synced;
      const lines: string[] = [];
      const keeper = new NamespaceKeeper(
        client,
        test.mesh,
        state,
        () => undefined,
        createLog("keeper", "info", (line) => lines.push(line)),
        0,
      );
      await keeper.removeUnused();
      // A namespace that asks for injection keeps what its next pod needs.
      assert.ok((await configMap(bundleName())) !== undefined);

      await client.patch(resource.namespaces, namespace, undefined, {
        metadata: { annotations: { "linkerd.io/inject": "disabled" } },
      });
      await eventually(
        () => state.namespace(namespace)?.metadata.annotations?.["linkerd.io/inject"] === "disabled" || undefined,
      );
      const injected = patched(
        pod,
        await review({ ...pod, metadata: { ...pod.metadata, annotations: { "linkerd.io/inject": "enabled" } } }),
      );
      for (const field of ["uid", "creationTimestamp"])
        delete (injected.metadata as unknown as Record<string, unknown>)[field];
      const running = await client.create<KubeObject>(resource.pods, {
        ...injected,
        metadata: {
          ...injected.metadata,
          annotations: { ...injected.metadata.annotations, "linkerd.io/inject": "disabled" },
        },
        spec: { ...injected.spec, schedulerName: "nobody" },
      } as unknown as KubeObject);
      await keeper.removeUnused();
      assert.ok((await configMap(bundleName())) !== undefined);

      await client.delete(resource.pods, running.metadata.name, namespace);
      await eventually(
        async () => (await client.find(resource.pods, running.metadata.name, namespace)) === undefined || undefined,
      );
      await keeper.removeUnused();
      assert.equal(await configMap(bundleName()), undefined);
      assert.equal(await configMap(TRUST_ROOTS.configMap), undefined);
      assert.equal(
        lines.some((line) => line.includes(foreign)),
        false,
      );
      assert.ok((await client.find<ConfigMap>(resource.configMaps, TRUST_ROOTS.configMap, foreign)) !== undefined);
      assert.ok((await client.find<ConfigMap>(resource.configMaps, bundleName(), test.namespace)) !== undefined);
    } finally {
      state.stop();
    }
  });
});
