import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { DEMO_NAMESPACE } from "../../runtime/mesh/demo-objects.ts";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { tap } from "../../runtime/mesh/tap.ts";
import type { TapQuery, TapRecord } from "../../runtime/mesh/types.ts";
import { connectAs, connectCluster, ensureDemo, eventually } from "./support/mesh.ts";

const MESH = "weft";

describe("tap through the API server", () => {
  let client: KubeClient;

  before(async () => {
    client = await connectCluster();
    await ensureDemo(client);
  });

  after(() => client.transport.close());

  const of = (query: Partial<TapQuery>): TapQuery => ({
    namespace: DEMO_NAMESPACE,
    kind: "deployments",
    name: "gateway",
    maxRps: 100,
    ...query,
  });

  /** Records until `wanted` says it is enough. */
  async function tapUntil(
    query: Partial<TapQuery>,
    enough: (records: readonly TapRecord[]) => boolean,
    limitMs = 30_000,
  ): Promise<TapRecord[]> {
    const records: TapRecord[] = [];
    const notices: string[] = [];
    const signal = AbortSignal.timeout(limitMs);
    for await (const record of tap(client, of(query), signal, (text) => notices.push(text))) {
      records.push(record);
      if (enough(records)) return records;
    }
    assert.fail(`not enough within ${limitMs} ms: ${records.length} records; ${notices.join("; ")}`);
  }

  it("shows what comes in and what goes out, with pods at both ends", async () => {
    const directions = (records: readonly TapRecord[]) => new Set(records.map(({ direction }) => direction));
    // The kubelet's probes come in too, from outside the mesh.
    const asked = (seen: readonly TapRecord[]) => seen.filter(({ path }) => path !== "/healthz");
    const records = asked(
      await tapUntil({ kind: "services", name: "planner" }, (seen) => directions(asked(seen)).size === 2),
    );
    for (const { direction, source, destination, tls } of records) {
      assert.equal(tls, "true");
      const own = direction === "inbound" ? destination : source;
      assert.match(own.pod ?? "", /^planner-/);
      assert.equal(own.workload, "planner");
      assert.equal(own.namespace, DEMO_NAMESPACE);
      assert.match(own.identity ?? "", new RegExp(`^default\\.${DEMO_NAMESPACE}\\.serviceaccount\\.identity\\.`));
    }
  });

  it("of a whole namespace shows several workloads, no more requests than asked for", async () => {
    const began = performance.now();
    const records = await tapUntil(
      { kind: "namespaces", name: DEMO_NAMESPACE, maxRps: 16 },
      (seen) => seen.length >= 60,
      60_000,
    );
    const seconds = (performance.now() - began) / 1000;
    assert.ok(new Set(records.map(({ destination }) => destination.workload)).size >= 3);
    // 16 a second, and a window's worth in advance.
    assert.ok(records.length / (seconds + 1) < 24, `${records.length} in ${seconds} s`);
  });

  it("filters in the proxies by method and path", async () => {
    const records = await tapUntil(
      { name: "planner", method: "GET", pathPrefix: "/search" },
      (seen) => seen.length >= 3,
    );
    for (const { method, path } of records) {
      assert.equal(method, "GET");
      assert.match(path, /^\/search/);
    }
  });

  it("shows a pod that comes while the tap lasts", async () => {
    const scale = (replicas: number): Promise<unknown> =>
      client.patch(resource.deployments, "search-tool", DEMO_NAMESPACE, { spec: { replicas } });
    const pods = async (): Promise<string[]> => {
      const { items } = await client.list(resource.pods, {
        namespace: DEMO_NAMESPACE,
        labelSelector: "app=search-tool",
      });
      return items.map(({ metadata }) => metadata.name);
    };
    const known = new Set(await pods());
    const watched = tapUntil(
      { name: "search-tool" },
      (seen) => seen.some(({ destination }) => destination.pod !== undefined && !known.has(destination.pod)),
      120_000,
    );
    try {
      await scale(3);
      const records = await watched;
      assert.match(records.at(-1)?.destination.pod ?? "", /^search-tool-/);
    } finally {
      await scale(2);
    }
  });

  it("leaves proxies and controller alone within a second when its user has gone", async () => {
    const openTaps = async (): Promise<number> => {
      const lease = await client.get<KubeObject & { spec: { holderIdentity: string } }>(
        resource.leases,
        "weft-controller",
        MESH,
      );
      const stream = await client.transport.open({
        method: "GET",
        path: `/api/v1/namespaces/${MESH}/pods/${lease.spec.holderIdentity}:9991/proxy/metrics`,
      });
      let text = "";
      for await (const chunk of stream.body) text += Buffer.from(chunk).toString();
      return Number(/^weft_viz_open_taps (\d+)$/m.exec(text)?.[1]);
    };
    const before = await openTaps();
    const abort = new AbortController();
    const reading = (async () => {
      for await (const record of tap(client, of({}), abort.signal)) void record;
    })();
    await eventually("an open tap", 10_000, async () => ((await openTaps()) === before + 1 ? true : undefined));
    abort.abort();
    await reading;
    const gone = performance.now();
    await eventually("no open tap", 5_000, async () => ((await openTaps()) === before ? true : undefined));
    assert.ok(performance.now() - gone < 2_000);
  });

  it("is refused to who may not, and says what right is missing", async () => {
    const nobody = await connectAs(DEMO_NAMESPACE, "weft-test-nobody");
    try {
      await assert.rejects(
        async () => {
          for await (const record of tap(nobody, of({}), AbortSignal.timeout(10_000))) assert.fail(record.path);
        },
        (error: unknown) => {
          assert.ok(error instanceof MeshError);
          assert.match(error.message, /cannot watch resource "deployments\/tap" in API group "tap.linkerd.io"/);
          assert.match(error.hint ?? "", /watch on deployments.tap.linkerd.io \(subresource tap\)/);
          return true;
        },
      );
    } finally {
      nobody.transport.close();
    }
  });
});
