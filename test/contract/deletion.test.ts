import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { type Cluster, configMap, connect, eventually, type Json } from "./support/cluster.ts";

describe("what belongs to something", () => {
  let cluster: Cluster;
  let maps: string;

  before(async () => {
    cluster = await connect();
    maps = `/api/v1/namespaces/${cluster.namespace}/configmaps`;
  });
  after(() => cluster.close());

  async function owner(name: string): Promise<Json> {
    const { body } = await cluster.ask("POST", maps, { body: configMap(cluster.namespace, name) });
    return { apiVersion: "v1", kind: "ConfigMap", name, uid: body.metadata.uid };
  }
  const owned = (name: string, ownerReferences: Json[], more: Json = {}) =>
    cluster.ask("POST", maps, { body: configMap(cluster.namespace, name, {}, { ownerReferences, ...more }) });
  const status = async (name: string): Promise<number> => (await cluster.ask("GET", `${maps}/${name}`)).status;
  const remove = (name: string, propagationPolicy: string) =>
    cluster.ask("DELETE", `${maps}/${name}`, { body: { propagationPolicy } });
  const gone = (name: string): Promise<boolean> =>
    eventually(`${name} to go`, async () => (await status(name)) === 404);

  it("goes after it, in the background", async () => {
    await owned("b-child", [await owner("b")]);
    await remove("b", "Background");
    assert.equal(await status("b"), 404);
    await gone("b-child");
  });

  it("goes before it, in the foreground", async () => {
    const reference = { ...(await owner("f")), blockOwnerDeletion: true };
    await owned("f-child", [reference], { finalizers: ["weft.dev/test"] });
    // The collector learns of owners by watching.
    await sleep(500);
    const { body } = await remove("f", "Foreground");
    assert.deepEqual(body.metadata.finalizers, ["foregroundDeletion"]);
    await eventually("the child to be going", async () => {
      const child = await cluster.ask("GET", `${maps}/f-child`);
      return child.body.metadata.deletionTimestamp !== undefined;
    });
    assert.equal(await status("f"), 200);
    const headers = { "content-type": "application/merge-patch+json" };
    await cluster.ask("PATCH", `${maps}/f-child`, { headers, body: { metadata: { finalizers: null } } });
    await gone("f");
  });

  it("stays, as an orphan", async () => {
    await owned("o-child", [await owner("o")]);
    await sleep(500);
    await remove("o", "Orphan");
    await gone("o");
    await eventually("the reference to go", async () => {
      const { body } = await cluster.ask("GET", `${maps}/o-child`);
      return body.metadata.ownerReferences === undefined;
    });
  });

  it("stays while another owner is there", async () => {
    const two = await owner("two");
    await owned("shared-child", [await owner("one"), two]);
    await sleep(500);
    await remove("one", "Background");
    await eventually("the first reference to go", async () => {
      const { body } = await cluster.ask("GET", `${maps}/shared-child`);
      return body.metadata.ownerReferences.length === 1;
    });
    assert.equal(await status("shared-child"), 200);
  });

  it("goes where its owner never was", async () => {
    await owned("lost", [
      { apiVersion: "v1", kind: "ConfigMap", name: "never", uid: "11111111-1111-1111-1111-111111111111" },
    ]);
    await gone("lost");
  });
});

describe("a namespace", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  const make = async (name: string): Promise<KubeObject> =>
    await cluster.client.create(resource.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const path = (name: string): string => `/api/v1/namespaces/${name}`;

  it("is furnished: a service account, the cluster's CA", async () => {
    const { namespace } = cluster;
    await eventually("the service account", () => cluster.client.find(resource.serviceAccounts, "default", namespace));
    const ca = await eventually("the CA", () =>
      cluster.client.find(resource.configMaps, "kube-root-ca.crt", namespace),
    );
    assert.match((ca["data"] as Record<string, string>)["ca.crt"] ?? "", /^-----BEGIN CERTIFICATE-----/);
    await cluster.client.delete(resource.serviceAccounts, "default", namespace);
    await eventually("it to come back", () => cluster.client.find(resource.serviceAccounts, "default", namespace));
  });

  it("empties before it goes, and takes nothing new meanwhile", async () => {
    const name = `${cluster.namespace}-going`;
    await make(name);
    await cluster.client.create(resource.configMaps, configMap(name, "held", {}, { finalizers: ["weft.dev/test"] }));
    await cluster.client.create(resource.configMaps, configMap(name, "free"));
    const deleted = await cluster.ask("DELETE", path(name));
    assert.equal(deleted.status, 200);
    assert.equal(deleted.body.status.phase, "Terminating");
    await eventually(
      "the free one to go",
      async () => (await cluster.client.find(resource.configMaps, "free", name)) === undefined,
    );
    const late = await cluster.ask("POST", `${path(name)}/configmaps`, { body: configMap(name, "late") });
    assert.equal(late.status, 403);
    assert.equal(
      late.body.message,
      `configmaps "late" is forbidden: unable to create new content in namespace ${name} because it is being terminated`,
    );
    assert.equal(late.body.details.causes[0].reason, "NamespaceTerminating");
    const conditions = await eventually("the conditions", async () => {
      const { body } = await cluster.ask("GET", path(name));
      const list = (body.status.conditions ?? []) as Json[];
      return list.some(({ type, status }) => type === "NamespaceFinalizersRemaining" && status === "True")
        ? list
        : undefined;
    });
    const remaining = conditions.find(({ type }) => type === "NamespaceFinalizersRemaining");
    assert.match(String(remaining?.["message"]), /weft.dev\/test in 1 resource instances/);
    await cluster.client.patch(resource.configMaps, "held", name, { metadata: { finalizers: null } });
    await eventually("the namespace to go", async () => (await cluster.ask("GET", path(name))).status === 404, 60_000);
  });

  it("of the cluster itself never goes", async () => {
    const answer = await cluster.ask("DELETE", path("default"));
    assert.equal(answer.status, 403);
    assert.equal(answer.body.message, 'namespaces "default" is forbidden: this namespace may not be deleted');
  });

  it("waits for an API server that cannot be asked", async () => {
    const name = `${cluster.namespace}-waits`;
    await make(name);
    await cluster.client.create(resource.apiServices, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: "v1.waits.contract.weft.dev" },
      spec: {
        group: "waits.contract.weft.dev",
        version: "v1",
        groupPriorityMinimum: 1,
        versionPriority: 1,
        insecureSkipTLSVerify: true,
        service: { namespace: name, name: "nowhere" },
      },
    });
    try {
      const unavailable = await eventually("the APIService to be judged", async () => {
        const service = await cluster.client.get(resource.apiServices, "v1.waits.contract.weft.dev");
        const conditions = ((service["status"] as Json | undefined)?.["conditions"] ?? []) as Json[];
        return conditions.find(({ type }) => type === "Available");
      });
      assert.equal(unavailable["status"], "False");
      assert.equal(unavailable["reason"], "ServiceNotFound");
      assert.equal(unavailable["message"], `service/nowhere in "${name}" is not present`);
      const asked = await cluster.ask("GET", "/apis/waits.contract.weft.dev/v1/things");
      assert.equal(asked.status, 503);
      assert.match(asked.body.text ?? asked.body.message, /^service unavailable\s*$/);
      await cluster.ask("DELETE", path(name));
      await eventually(
        "the reason",
        async () => {
          const { body } = await cluster.ask("GET", path(name));
          return (body.status.conditions ?? []).some(
            ({ type, status, reason }: Json) =>
              type === "NamespaceDeletionDiscoveryFailure" && status === "True" && reason === "DiscoveryFailed",
          );
        },
        60_000,
      );
      assert.equal((await cluster.ask("GET", path(name))).status, 200);
    } finally {
      await cluster.client.delete(resource.apiServices, "v1.waits.contract.weft.dev");
    }
    await eventually("the namespace to go", async () => (await cluster.ask("GET", path(name))).status === 404, 90_000);
  });
});
