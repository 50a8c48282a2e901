import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startInformer } from "../../runtime/kube/informer.ts";
import { readLines } from "../../runtime/kube/lines.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { Change, KubeObject } from "../../runtime/kube/types.ts";
import { type Cluster, configMap, connect, eventually, type Json } from "./support/cluster.ts";

interface Line {
  readonly type: string;
  readonly object: KubeObject & { message?: string; code?: number; reason?: string };
}

describe("lists", () => {
  let cluster: Cluster;
  let maps: string;

  before(async () => {
    cluster = await connect();
    maps = `/api/v1/namespaces/${cluster.namespace}/configmaps`;
    for (let index = 0; index < 7; index++) {
      const labels = { parity: index % 2 === 0 ? "even" : "odd", set: "a", ...(index === 0 ? { first: "" } : {}) };
      await cluster.ask("POST", maps, { body: configMap(cluster.namespace, `n${index}`, {}, { labels }) });
    }
  });
  after(() => cluster.close());

  const names = async (query: Record<string, string>): Promise<string[]> =>
    (await cluster.ask("GET", maps, { query })).body.items.map(({ metadata }: KubeObject) => metadata.name);

  it("come by name, without the kind in every item", async () => {
    const { body } = await cluster.ask("GET", maps, { query: { labelSelector: "set=a" } });
    assert.equal(body.kind, "ConfigMapList");
    assert.equal(body.apiVersion, "v1");
    assert.match(body.metadata.resourceVersion, /^\d+$/);
    assert.deepEqual(
      body.items.map(({ metadata }: KubeObject) => metadata.name),
      ["n0", "n1", "n2", "n3", "n4", "n5", "n6"],
    );
    assert.equal(body.items[0].kind, undefined);
  });

  it("select by labels", async () => {
    assert.deepEqual(await names({ labelSelector: "set=a,parity=odd" }), ["n1", "n3", "n5"]);
    assert.deepEqual(await names({ labelSelector: "set=a,parity!=odd" }), ["n0", "n2", "n4", "n6"]);
    assert.deepEqual(await names({ labelSelector: "parity in (odd, even),first" }), ["n0"]);
    assert.deepEqual((await names({ labelSelector: "set,!first" })).length, 6);
    assert.deepEqual(await names({ labelSelector: "set == a, parity notin (even)" }), ["n1", "n3", "n5"]);
    const broken = await cluster.ask("GET", maps, { query: { labelSelector: "a in b" } });
    assert.equal(broken.status, 400);
    assert.match(broken.body.message, /^unable to parse requirement/);
  });

  it("select by fields that can be selected by", async () => {
    assert.deepEqual(await names({ fieldSelector: "metadata.name=n3" }), ["n3"]);
    assert.equal((await names({ fieldSelector: "metadata.name!=n3", labelSelector: "set=a" })).length, 6);
    const other = await cluster.ask("GET", maps, { query: { fieldSelector: "data.x=1" } });
    assert.equal(other.status, 400);
    assert.equal(
      other.body.message,
      '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
    const pods = await cluster.ask("GET", `/api/v1/namespaces/${cluster.namespace}/pods`, {
      query: { fieldSelector: "spec.x=1" },
    });
    assert.equal(pods.body.message, "field label not supported: spec.x");
  });

  it("come in pages that all show the state of the first", async () => {
    const first = await cluster.ask("GET", maps, { query: { limit: 3, labelSelector: "set=a" } });
    assert.equal(first.body.items.length, 3);
    const added = { labels: { set: "a" } };
    await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "n2-late", {}, added) });
    await cluster.ask("DELETE", `${maps}/n6`);
    const page = (token: string) =>
      cluster.ask("GET", maps, { query: { limit: 3, labelSelector: "set=a", continue: token } });
    const second = await page(first.body.metadata.continue);
    assert.equal(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
    const third = await page(second.body.metadata.continue);
    assert.equal(third.body.metadata.continue, undefined);
    const all = [first, second, third].flatMap(({ body }) =>
      body.items.map(({ metadata }: KubeObject) => metadata.name),
    );
    assert.deepEqual(all, ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]);
    assert.equal((await cluster.ask("GET", maps, { query: { continue: "abc" } })).status, 400);
  });

  it("tell how many items remain", async () => {
    const { body } = await cluster.ask("GET", maps, { query: { limit: 2 } });
    const total = (await cluster.ask("GET", maps)).body.items.length;
    assert.equal(body.metadata.remainingItemCount, total - 2);
  });

  it("are tables for who wants tables", async () => {
    const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
    const { body } = await cluster.ask("GET", maps, { headers, query: { labelSelector: "set=a" } });
    assert.equal(body.kind, "Table");
    assert.deepEqual(
      body.columnDefinitions.map(({ name }: Json) => name),
      ["Name", "Data", "Age"],
    );
    assert.equal(body.rows[0].cells[0], "n0");
    assert.equal(body.rows[0].object.kind, "PartialObjectMetadata");
    assert.equal(body.rows[0].object.metadata.name, "n0");
  });
});

describe("watches", () => {
  let cluster: Cluster;
  let maps: string;

  before(async () => {
    cluster = await connect();
    maps = `/api/v1/namespaces/${cluster.namespace}/configmaps`;
  });
  after(() => cluster.close());

  /** Collects events until `count` of them came, or the watch ended. */
  async function watch(
    query: Record<string, string | number | boolean>,
    count: number,
  ): Promise<{ lines: Promise<Line[]>; close: () => void }> {
    const stream = await cluster.transport.open({ method: "GET", path: maps, query: { watch: true, ...query } });
    assert.equal(stream.status, 200);
    const collect = async (): Promise<Line[]> => {
      const lines: Line[] = [];
      for await (const line of readLines(stream.body)) {
        lines.push(JSON.parse(line) as Line);
        if (lines.length === count) break;
      }
      stream.close();
      return lines;
    };
    return { lines: collect(), close: () => stream.close() };
  }
  const brief = (lines: Line[]): string[] =>
    lines.map(({ type, object }) => `${type} ${object.metadata.name ?? ""}`.trim());
  const patchLabels = (name: string, labels: Record<string, string | null>) =>
    cluster.ask("PATCH", `${maps}/${name}`, {
      headers: { "content-type": "application/merge-patch+json" },
      body: { metadata: { labels } },
    });

  it("tell every change after a version, in order", async () => {
    const { body: list } = await cluster.ask("GET", maps);
    await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "w1") });
    const { lines } = await watch({ resourceVersion: list.metadata.resourceVersion }, 3);
    await patchLabels("w1", { a: "1" });
    await cluster.ask("DELETE", `${maps}/w1`);
    const seen = await lines;
    assert.deepEqual(brief(seen), ["ADDED w1", "MODIFIED w1", "DELETED w1"]);
    const versions = seen.map(({ object }) => Number(object.metadata.resourceVersion));
    assert.deepEqual(
      versions,
      versions.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(versions).size, 3);
    assert.equal(seen[0]?.object.kind, "ConfigMap");
  });

  it("begin with what is there, where no version is named", async () => {
    await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "there") });
    const { lines } = await watch({ fieldSelector: "metadata.name=there" }, 1);
    assert.deepEqual(brief(await lines), ["ADDED there"]);
  });

  it("mark where the beginning ends, for who asks", async () => {
    await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "there2") });
    const query = {
      sendInitialEvents: true,
      allowWatchBookmarks: true,
      resourceVersionMatch: "NotOlderThan",
      fieldSelector: "metadata.name=there2",
    };
    const { lines } = await watch(query, 2);
    const seen = await lines;
    assert.deepEqual(brief(seen), ["ADDED there2", "BOOKMARK"]);
    assert.equal(seen[1]?.object.metadata.annotations?.["k8s.io/initial-events-end"], "true");
    assert.equal(seen[1]?.object.kind, "ConfigMap");
  });

  it("see objects come into a selection and leave it", async () => {
    const { body: list } = await cluster.ask("GET", maps);
    await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "sel") });
    const { lines } = await watch({ resourceVersion: list.metadata.resourceVersion, labelSelector: "in=yes" }, 3);
    await patchLabels("sel", { in: "yes" });
    await patchLabels("sel", { more: "1" });
    await patchLabels("sel", { in: null });
    const seen = await lines;
    assert.deepEqual(brief(seen), ["ADDED sel", "MODIFIED sel", "DELETED sel"]);
    assert.equal(seen[2]?.object.metadata.labels?.["in"], "yes", "as it was last selected");
  });

  it("end after the time they were given", async () => {
    const { lines } = await watch(
      { resourceVersion: (await cluster.ask("GET", maps)).body.metadata.resourceVersion, timeoutSeconds: 1 },
      100,
    );
    assert.deepEqual(await lines, []);
  });

  it("say of a version that is too old that it has expired", async () => {
    const { lines } = await watch({ resourceVersion: "1" }, 1);
    const [line] = await lines;
    // On a young API server, whose cache of events never overflowed, nothing is too old: it begins with what came first.
    if (line?.type === "ADDED" && process.env["WEFT_TEST_CLUSTER"] !== "sandbox") {
      assert.ok(Number(line?.object.metadata.resourceVersion) > 1);
      return;
    }
    assert.equal(line?.type, "ERROR");
    assert.equal(line?.object.code, 410);
    assert.equal(line?.object.reason, "Expired");
    assert.match(line?.object.message ?? "", /^too old resource version: 1 \(\d+\)$/);
  });

  it("feed an informer", async () => {
    const changes: string[] = [];
    const informer = startInformer(cluster.client, resource.configMaps, {
      namespace: cluster.namespace,
      labelSelector: "informed=yes",
    });
    try {
      await informer.synced;
      informer.subscribe(({ type, object }: Change<KubeObject>) => changes.push(`${type} ${object.metadata.name}`));
      await cluster.ask("POST", maps, {
        body: configMap(cluster.namespace, "i1", {}, { labels: { informed: "yes" } }),
      });
      await eventually("the first change", async () => changes.length === 1);
      await patchLabels("i1", { more: "1" });
      await cluster.ask("DELETE", `${maps}/i1`);
      await eventually("all changes", async () => changes.length === 3);
      assert.deepEqual(changes, ["added i1", "updated i1", "deleted i1"]);
      assert.equal(informer.store.size, 0);
    } finally {
      informer.stop();
    }
  });
});
