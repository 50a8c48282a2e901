import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { KubeError } from "../../runtime/kube/errors.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { DEMO_NAMESPACE } from "../../runtime/mesh/demo-objects.ts";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { isPodReady, type Pod } from "../../runtime/mesh/pods.ts";
import { getStats, watchStats } from "../../runtime/mesh/stat.ts";
import { apiServiceNames } from "../../runtime/model/control-plane-rbac.ts";
import type { StatList } from "../../runtime/model/statistics.ts";
import { connectAs, connectCluster, ensureDemo, eventually } from "./support/mesh.ts";

const run = promisify(execFile);
const STATS = "/apis/stats.weft.dev/v1alpha1";
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const MESH = "weft";

interface ApiService extends KubeObject {
  status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}
interface Table {
  readonly kind: string;
  readonly columnDefinitions: readonly { readonly name: string }[];
  readonly rows: readonly { readonly cells: readonly string[] }[];
}

describe("statistics through the API server", () => {
  let client: KubeClient;

  before(async () => {
    client = await connectCluster();
    await ensureDemo(client);
    for (const name of apiServiceNames) {
      await eventually(`APIService ${name}`, 60_000, async () => {
        const { status } = await client.get<ApiService>(resource.apiServices, name);
        const available = status?.conditions?.find(({ type }) => type === "Available");
        if (available?.status !== "True") throw new Error(available?.message ?? "no condition yet");
        return true;
      });
    }
    await eventually("figures", 60_000, async () => {
      const list = await services();
      return list.items.some(({ http }) => http !== undefined) ? true : undefined;
    });
  });

  after(() => client.transport.close());

  const services = (): Promise<StatList> =>
    getStats(client, { resource: "services", namespace: DEMO_NAMESPACE, windowMs: 60_000 });

  it("are found by discovery and described by OpenAPI, as the API server's own kinds are", async () => {
    const list = await client.json<{ resources: { name: string; kind: string }[] }>({ method: "GET", path: STATS });
    assert.deepEqual(
      list.resources.map(({ name }) => name),
      ["services", "deployments", "statefulsets", "daemonsets", "pods", "edges"],
    );
    const aggregated = await client.json<{
      items: { metadata: { name: string }; versions: { freshness: string }[] }[];
    }>({
      method: "GET",
      path: "/apis",
      headers: { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json" },
    });
    for (const group of ["stats.weft.dev", "tap.linkerd.io"]) {
      const found = aggregated.items.find(({ metadata }) => metadata.name === group);
      assert.equal(found?.versions[0]?.freshness, "Current", group);
    }
    const v3 = await eventually("OpenAPI v3", 90_000, async () => {
      const index = await client.json<{ paths: Record<string, { serverRelativeURL: string }> }>({
        method: "GET",
        path: "/openapi/v3",
      });
      return index.paths["apis/stats.weft.dev/v1alpha1"];
    });
    const url = new URL(v3.serverRelativeURL, "https://api");
    const document = await client.json<{ paths: Record<string, unknown> }>({
      method: "GET",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
    });
    assert.ok(`${STATS}/namespaces/{namespace}/services` in document.paths);
  });

  it("come as a table to whom asks for one", async () => {
    const table = await client.json<Table>({
      method: "GET",
      path: `${STATS}/namespaces/${DEMO_NAMESPACE}/services`,
      headers: { accept: TABLE },
    });
    assert.equal(table.kind, "Table");
    const column = (name: string): number => table.columnDefinitions.findIndex((one) => one.name === name);
    const gateway = table.rows.find(({ cells }) => cells[0] === "gateway");
    assert.equal(gateway?.cells[column("mTLS")], "all");
    assert.match(gateway.cells[column("Success")] ?? "", /^\d+\.\d\d%$/);
    assert.match(gateway.cells[column("P99")] ?? "", /^[\d.]+ms$/);
  });

  it("are printed by kubectl, which still finds the API server's own kinds by their plain names", async (test) => {
    const kubectl = async (...argv: string[]): Promise<string> => (await run("kubectl", argv)).stdout;
    try {
      await kubectl("version", "--client");
    } catch {
      return test.skip("no kubectl on the PATH");
    }
    const services = await kubectl("get", "services.stats.weft.dev", "-n", DEMO_NAMESPACE);
    assert.match(services, /^NAME +MESHED +SUCCESS +RPS +P50 +P95 +P99 +MTLS +TCP_CONN$/m);
    assert.match(services, /^gateway +1\/1 +\d+\.\d\d% +[\d.]+ +[\d.]+ms +[\d.]+ms +[\d.]+ms +all +-$/m);
    assert.match(
      await kubectl("get", "services.stats.weft.dev", "-A"),
      new RegExp(`^${DEMO_NAMESPACE} +gateway `, "m"),
    );
    assert.match(
      await kubectl("get", "services.stats.weft.dev", "gateway", "-n", DEMO_NAMESPACE, "-o", "jsonpath={.mtls.state}"),
      /^all$/,
    );
    assert.match(await kubectl("get", "edges", "-n", DEMO_NAMESPACE), /^deployment\/load\.\S+ +service\/gateway\./m);
    assert.match(await kubectl("get", "services", "-n", DEMO_NAMESPACE), /^NAME +TYPE +CLUSTER-IP/m);
    assert.match(await kubectl("get", "pods", "-n", DEMO_NAMESPACE), /^NAME +READY +STATUS/m);
    const bob = ["--as", "bob", "-n", DEMO_NAMESPACE];
    const refused = await run("kubectl", ["auth", "can-i", "list", "services.stats.weft.dev", ...bob]).catch(
      (error: { stdout: string }) => error,
    );
    assert.equal(refused.stdout.trim(), "no");
  });

  it("stream, each list newer than the one before", async () => {
    const abort = new AbortController();
    const lists: StatList[] = [];
    const query = { resource: "deployments", namespace: DEMO_NAMESPACE, windowMs: 10_000 } as const;
    const timer = setTimeout(() => abort.abort(), 30_000);
    const began = performance.now();
    for await (const list of watchStats(client, query, abort.signal)) {
      lists.push(list);
      if (lists.length === 4) break;
    }
    clearTimeout(timer);
    assert.equal(lists.length, 4);
    // A round takes two seconds: nothing between here and there holds lists back.
    assert.ok(performance.now() - began < 15_000);
    for (const [index, list] of lists.slice(1).entries()) {
      assert.ok(Date.parse(list.source.asOf) > Date.parse(lists[index]?.source.asOf ?? ""));
    }
  });

  it("of another namespace are refused to who may view only one, and tapping to who may only view", async () => {
    const name = "weft-test-viewer";
    const viewer = await connectAs(DEMO_NAMESPACE, name);
    const binding: KubeObject = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name, namespace: DEMO_NAMESPACE },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
      subjects: [{ kind: "ServiceAccount", name, namespace: DEMO_NAMESPACE }],
    };
    const query = { resource: "services", windowMs: 60_000 } as const;
    try {
      await assert.rejects(getStats(viewer, { ...query, namespace: DEMO_NAMESPACE }), MeshError);
      await client.create(resource.roleBindings, binding);
      const own = await eventually("the right to view", 10_000, () =>
        getStats(viewer, { ...query, namespace: DEMO_NAMESPACE }),
      );
      assert.ok(own.items.length >= 5);
      for (const beyond of [{ ...query, namespace: MESH }, query]) {
        await assert.rejects(getStats(viewer, beyond), (error: unknown) => {
          assert.ok(error instanceof MeshError);
          assert.match(error.message, /cannot list resource "services" in API group "stats.weft.dev"/);
          return true;
        });
      }
      const review = (group: string, verb: string, subresource?: string) =>
        viewer.json<{ status: { allowed: boolean } }>({
          method: "POST",
          path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
          body: {
            apiVersion: "authorization.k8s.io/v1",
            kind: "SelfSubjectAccessReview",
            spec: {
              resourceAttributes: { group, verb, resource: "services", namespace: DEMO_NAMESPACE, subresource },
            },
          },
        });
      assert.equal((await review("stats.weft.dev", "watch")).status.allowed, true);
      assert.equal((await review("tap.linkerd.io", "watch", "tap")).status.allowed, false);
    } finally {
      await client.delete(resource.roleBindings, name, DEMO_NAMESPACE);
      viewer.transport.close();
    }
  });

  it("refuse what they do not keep, with the reason", async () => {
    const ask = (path: string): Promise<unknown> =>
      client.json({ method: "GET", path: STATS + path.split("?")[0], query: { window: path.split("=")[1] } });
    await assert.rejects(ask("/services?window=2h"), (error: unknown) => {
      assert.ok(error instanceof KubeError);
      assert.deepEqual([error.status, error.reason], [400, "BadRequest"]);
      assert.match(error.message, /10s to 1h/);
      return true;
    });
    await assert.rejects(ask(`/namespaces/${DEMO_NAMESPACE}/services/nothing`), (error: unknown) => {
      assert.ok(error instanceof KubeError);
      assert.deepEqual([error.status, error.reason], [404, "NotFound"]);
      return true;
    });
  });

  it("are the same from two replicas, of which one scrapes", async () => {
    const scale = (replicas: number): Promise<unknown> =>
      client.patch(resource.deployments, "weft-controller", MESH, { spec: { replicas } });
    const scraping = async (pod: string): Promise<number> => {
      const path = `/api/v1/namespaces/${MESH}/pods/${pod}:9991/proxy/metrics`;
      const { status, body } = await client.transport.open({ method: "GET", path });
      let text = "";
      for await (const chunk of body) text += Buffer.from(chunk).toString();
      assert.equal(status, 200, text);
      return Number(/^weft_viz_scraping (\d)$/m.exec(text)?.[1]);
    };
    await scale(2);
    try {
      const pods = await eventually("two replicas", 120_000, async () => {
        const { items } = await client.list<Pod>(resource.pods, {
          namespace: MESH,
          labelSelector: "linkerd.io/control-plane-component=controller",
        });
        const ready = items.filter(isPodReady);
        return items.length === 2 && ready.length === 2 ? ready : undefined;
      });
      const roles = await Promise.all(pods.map(({ metadata }) => scraping(metadata.name)));
      assert.deepEqual(roles.sort(), [0, 1]);
      const answers = [];
      // Where the API server goes straight to endpoints it takes any of them, otherwise kube-proxy chooses.
      for (let index = 0; index < 24; index++) answers.push(await services());
      assert.equal(new Set(answers.map(({ source }) => source.since)).size, 1);
      assert.ok(answers.every(({ items }) => items.some(({ http }) => http !== undefined)));
    } finally {
      await scale(1);
    }
  });

  it("are there again when the replica that scraped is gone, and say since when", async () => {
    const before = await services();
    const lease = await client.get<KubeObject & { spec: { holderIdentity: string } }>(
      resource.leases,
      "weft-controller",
      MESH,
    );
    await client.delete(resource.pods, lease.spec.holderIdentity, MESH);
    const again = await eventually("statistics of the next replica", 120_000, async () => {
      const list = await services();
      const http = list.items.find(({ name }) => name === "gateway")?.http;
      return list.source.since !== before.source.since && http !== undefined ? list : undefined;
    });
    assert.ok(Date.parse(again.source.since) > Date.parse(before.source.since));
  });
});
