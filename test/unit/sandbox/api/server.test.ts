import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createKubeClient } from "../../../../runtime/kube/client.ts";
import { hasStatus, KubeError } from "../../../../runtime/kube/errors.ts";
import { httpsTransport } from "../../../../runtime/kube/https-transport.ts";
import { startInformer } from "../../../../runtime/kube/informer.ts";
import { resource } from "../../../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../../../runtime/kube/types.ts";
import { ApiServer } from "../../../../runtime/sandbox/api/api-server.ts";
import { createPki, type Pki } from "../../../../runtime/sandbox/api/pki.ts";
import { seed } from "../../../../runtime/sandbox/api/seed.ts";

/** The API server alone: without controllers and without a node. */
describe("the sandbox's API server", () => {
  let pki: Pki;
  let server: ApiServer;
  let url: string;
  let client: KubeClient;

  before(async () => {
    pki = createPki([]);
    const noPods = (): never => {
      throw new Error("no pods here");
    };
    server = new ApiServer({
      pki,
      serviceCidr: "10.96.0.0/16",
      node: { logs: noPods, dial: noPods },
      report: (error) => assert.fail(String(error)),
    });
    const port = await server.listen("127.0.0.1", 0);
    url = `https://127.0.0.1:${port}`;
    await seed(
      server,
      { nodes: [], apiAddress: "127.0.0.1", serviceCidr: "10.96.0.0/16", dnsAddress: "10.96.0.10" },
      pki,
      port,
    );
    const tls = { ca: pki.ca, cert: pki.admin.certificate, key: pki.admin.key };
    client = createKubeClient(httpsTransport({ server: url, credentials: async () => ({ headers: {}, tls }) }));
  });
  after(async () => {
    client.transport.close();
    await server.close();
  });

  const fault = (body: Record<string, unknown>) => client.json({ method: "POST", path: "/sandbox/faults", body });
  const map = (name: string): KubeObject => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default" },
  });

  async function until(what: string, done: () => boolean): Promise<void> {
    for (let tries = 0; !done(); tries++) {
      assert.ok(tries < 200, `gave up waiting for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  it("lets nobody in without a name", async () => {
    const anonymous = createKubeClient(
      httpsTransport({ server: url, credentials: async () => ({ headers: {}, tls: { ca: pki.ca } }) }),
    );
    await assert.rejects(anonymous.list(resource.pods), (error: unknown) => hasStatus(error, 401));
    anonymous.transport.close();
  });

  it("trusts no certificate but its own CA's", async () => {
    const other = createPki([]);
    const tls = { ca: pki.ca, cert: other.admin.certificate, key: other.admin.key };
    const stranger = createKubeClient(httpsTransport({ server: url, credentials: async () => ({ headers: {}, tls }) }));
    await assert.rejects(stranger.list(resource.pods), (error: unknown) => hasStatus(error, 401));
    stranger.transport.close();
  });

  it("says 501 of what it has not", async () => {
    for (const path of [
      "/api/v1/persistentvolumes",
      "/apis/storage.k8s.io/v1/storageclasses",
      "/apis/batch/v1/namespaces/default/podfailures",
    ]) {
      await assert.rejects(client.json({ method: "GET", path }), (error: unknown) => {
        assert.ok(error instanceof KubeError);
        assert.equal(error.status, 501, path);
        assert.match(error.message, /the sandbox does not serve .*: use a real cluster, e\.g\. of kind or minikube/);
        return true;
      });
    }
    const job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "j", namespace: "default" },
      spec: { template: {} },
    };
    await assert.rejects(
      client.create(resource.jobs, job),
      /the sandbox does not serve jobs\.batch: nothing here acts on them/,
    );
    assert.deepEqual((await client.list(resource.jobs)).items, []);
  });

  it("gives every Service an address of its own, and takes one back when it goes", async () => {
    const service = (name: string, clusterIP?: string): KubeObject => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec: { ports: [{ port: 80 }], ...(clusterIP === undefined ? {} : { clusterIP }) },
    });
    const addressOf = (object: KubeObject): string => String((object["spec"] as Record<string, unknown>)["clusterIP"]);
    const one = await client.create(resource.services, service("one"));
    const two = await client.create(resource.services, service("two"));
    assert.notEqual(addressOf(one), addressOf(two));
    await assert.rejects(
      client.create(resource.services, service("three", addressOf(one))),
      /provided IP is already allocated/,
    );
    await assert.rejects(client.create(resource.services, service("three", "192.168.0.1")), /not in the valid range/);
    await client.delete(resource.services, "one", "default");
    assert.equal(addressOf(await client.create(resource.services, service("three", addressOf(one)))), addressOf(one));
  });

  it("drops watches when told to; an informer goes on", async () => {
    const informer = startInformer(client, resource.configMaps, { namespace: "default", labelSelector: "!nobody" });
    try {
      await informer.synced;
      await fault({ action: "drop-watches" });
      await client.create(resource.configMaps, map("after-drop"));
      await until("the change after the drop", () => informer.store.has("default/after-drop"));
    } finally {
      informer.stop();
    }
  });

  it("forgets its history when told to: watches get 410, an informer lists anew and misses nothing", async () => {
    const seen: string[] = [];
    const informer = startInformer(client, resource.configMaps, { namespace: "default" });
    try {
      await informer.synced;
      informer.subscribe(({ type, object }) => seen.push(`${type} ${object.metadata.name}`));
      await client.create(resource.configMaps, map("before-compact"));
      await fault({ action: "compact" });
      await client.delete(resource.configMaps, "before-compact", "default");
      await client.create(resource.configMaps, map("after-compact"));
      await until(
        "both changes",
        () => informer.store.has("default/after-compact") && !informer.store.has("default/before-compact"),
      );
    } finally {
      informer.stop();
    }
    const page = await client.json<{ metadata: { continue: string } }>({
      method: "GET",
      path: "/api/v1/configmaps",
      query: { limit: 1 },
    });
    await fault({ action: "compact" });
    const next = client.json({
      method: "GET",
      path: "/api/v1/configmaps",
      query: { limit: 1, continue: page.metadata.continue },
    });
    await assert.rejects(next, (error: unknown) => hasStatus(error, 410));
    // The client's pager starts anew by itself.
    assert.ok((await client.list(resource.configMaps)).items.length > 1);
  });

  it("answers 429 as often as told; the client waits and asks again", async () => {
    await fault({ status: 429, count: 1, resource: "configmaps", verb: "get" });
    const began = performance.now();
    assert.equal((await client.get(resource.configMaps, "after-compact", "default")).metadata.name, "after-compact");
    assert.ok(performance.now() - began >= 900);
  });

  it("waits as long as told", async () => {
    await fault({ delayMs: 300, count: 1, resource: "configmaps" });
    const began = performance.now();
    await client.list(resource.configMaps);
    assert.ok(performance.now() - began >= 290);
  });

  it("takes faults from administrators only, and only those there are", async () => {
    await assert.rejects(fault({ action: "explode" }), /no such fault: explode/);
    await assert.rejects(fault({ status: 500 }), /status of a fault is 429 or 410/);
    const headers = { "impersonate-user": "bob" };
    await assert.rejects(
      client.json({ method: "POST", path: "/sandbox/faults", headers, body: {} }),
      (error: unknown) => hasStatus(error, 403),
    );
  });

  it("refuses bodies that are too long, and survives nonsense", async () => {
    const long = { ...map("long"), data: { a: "x".repeat(4 * 1024 * 1024) } };
    await assert.rejects(client.create(resource.configMaps, long), (error: unknown) => hasStatus(error, 413));
    for (const body of ["{", "[]", "null", '"text"', "1"]) {
      const request = {
        method: "POST",
        path: "/api/v1/namespaces/default/configmaps",
        headers: { "content-type": "application/json" },
        body,
      } as const;
      await assert.rejects(client.json(request), (error: unknown) => hasStatus(error, 400), body);
    }
    for (const path of ["/nowhere", "//", "/api/v2/pods", "/apis/apps/v9/deployments"]) {
      await assert.rejects(client.json({ method: "GET", path }), (error: unknown) => hasStatus(error, 404), path);
    }
    const odd = await client.json<{ items: unknown[] }>({ method: "GET", path: "/api/v1/namespaces/%E0%A4%A/pods" });
    assert.deepEqual(odd.items, []);
    assert.ok((await client.list(resource.namespaces)).items.length >= 4);
  });
});
