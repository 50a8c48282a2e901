import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  type Answer,
  applyHeaders,
  type Cluster,
  configMap,
  connect,
  deployment,
  type Json,
} from "./support/cluster.ts";

interface Owner {
  readonly manager: string;
  readonly operation: string;
  readonly subresource?: string;
  readonly fieldsV1: Json;
}

describe("server-side apply", () => {
  let cluster: Cluster;
  let maps: string;
  let deployments: string;

  before(async () => {
    cluster = await connect();
    maps = `/api/v1/namespaces/${cluster.namespace}/configmaps`;
    deployments = `/apis/apps/v1/namespaces/${cluster.namespace}/deployments`;
  });
  after(() => cluster.close());

  function apply(
    path: string,
    body: unknown,
    fieldManager: string,
    query: Record<string, string | boolean> = {},
  ): Promise<Answer> {
    return cluster.ask("PATCH", path, { headers: applyHeaders, query: { fieldManager, ...query }, body });
  }
  const applyMap = (name: string, data: Record<string, string>, manager: string, query = {}): Promise<Answer> =>
    apply(`${maps}/${name}`, configMap(cluster.namespace, name, data), manager, query);
  const owners = (answer: Answer): Record<string, Json> =>
    Object.fromEntries(
      (answer.body.metadata.managedFields as Owner[]).map((owner) => [
        `${owner.manager} ${owner.operation}${owner.subresource === undefined ? "" : ` ${owner.subresource}`}`,
        owner.fieldsV1,
      ]),
    );

  it("makes what is not there and then leaves it alone", async () => {
    const made = await applyMap("a", { x: "1" }, "one");
    assert.equal(made.status, 201);
    assert.deepEqual(owners(made), { "one Apply": { "f:data": { "f:x": {} } } });
    const again = await applyMap("a", { x: "1" }, "one");
    assert.equal(again.status, 200);
    assert.equal(again.body.metadata.resourceVersion, made.body.metadata.resourceVersion);
  });

  it("asks for a field manager", async () => {
    const answer = await cluster.ask("PATCH", `${maps}/a`, {
      headers: applyHeaders,
      body: configMap(cluster.namespace, "a"),
    });
    assert.equal(answer.status, 422);
    assert.equal(
      answer.body.message,
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  });

  it("takes YAML", async () => {
    const body = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml, namespace: ${cluster.namespace}}\ndata:\n  a: "1"\n`;
    const made = await apply(`${maps}/yaml`, body, "one");
    assert.equal(made.status, 201);
    assert.deepEqual(made.body.data, { a: "1" });
  });

  it("refuses to take a field from another manager, naming both", async () => {
    await applyMap("c", { x: "1", y: "1" }, "one");
    const single = await applyMap("c", { x: "2" }, "two");
    assert.equal(single.status, 409);
    assert.equal(single.body.reason, "Conflict");
    assert.equal(single.body.message, 'Apply failed with 1 conflict: conflict with "one": .data.x');
    assert.deepEqual(single.body.details.causes, [
      { reason: "FieldManagerConflict", message: 'conflict with "one"', field: ".data.x" },
    ]);
    const both = await applyMap("c", { x: "2", y: "2" }, "two");
    assert.equal(both.body.message, 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.x\n- .data.y');
    const forced = await applyMap("c", { x: "2" }, "two", { force: true });
    assert.equal(forced.status, 200);
    assert.deepEqual(owners(forced), {
      "one Apply": { "f:data": { "f:y": {} } },
      "two Apply": { "f:data": { "f:x": {} } },
    });
  });

  it("names the version of who wrote otherwise", async () => {
    await cluster.ask("POST", maps, {
      query: { fieldManager: "writer" },
      body: configMap(cluster.namespace, "w", { x: "1" }),
    });
    const answer = await applyMap("w", { x: "2" }, "one");
    assert.equal(answer.body.message, 'Apply failed with 1 conflict: conflict with "writer" using v1: .data.x');
  });

  it("lets managers agree, and removes a field when its last one drops it", async () => {
    await applyMap("shared", { x: "1", mine: "1" }, "one");
    await applyMap("shared", { x: "1" }, "two");
    const first = await applyMap("shared", {}, "one");
    assert.deepEqual(first.body.data, { x: "1" });
    const second = await applyMap("shared", {}, "two");
    assert.equal(second.body.data, undefined);
  });

  it("records what others write", async () => {
    await applyMap("u", { x: "1", y: "1" }, "one");
    const headers = { "content-type": "application/merge-patch+json" };
    const patched = await cluster.ask("PATCH", `${maps}/u`, {
      headers,
      query: { fieldManager: "hand" },
      body: { data: { x: "2", z: "1" } },
    });
    assert.deepEqual(owners(patched), {
      "one Apply": { "f:data": { "f:y": {} } },
      "hand Update": { "f:data": { "f:x": {}, "f:z": {} } },
    });
    const removed = await cluster.ask("PATCH", `${maps}/u`, {
      headers,
      query: { fieldManager: "hand" },
      body: { data: { y: null } },
    });
    assert.equal(owners(removed)["one Apply"], undefined);
    // What nobody applies stays when the applier comes back without it.
    const back = await applyMap("u", {}, "one");
    assert.deepEqual(back.body.data, { x: "2", z: "1" });
  });

  it("merges lists by their keys and keeps what others put in", async () => {
    const spec = (containers: Json[]): Json => ({
      template: { metadata: { labels: { app: "lists" } }, spec: { containers } },
    });
    const node = (name: string, more: Json = {}): Json => ({ name, image: "docker.io/library/node:24-slim", ...more });
    const one = deployment(cluster.namespace, "lists", spec([node("a", { env: [{ name: "A", value: "1" }] })]));
    assert.equal((await apply(`${deployments}/lists`, one, "one")).status, 201);
    const sidecar = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "lists", namespace: cluster.namespace },
      spec: { template: { spec: { containers: [node("b"), { name: "a", env: [{ name: "B", value: "2" }] }] } } },
    };
    const merged = await apply(`${deployments}/lists`, sidecar, "two");
    assert.equal(merged.status, 200, JSON.stringify(merged.body));
    const { containers } = merged.body.spec.template.spec;
    assert.deepEqual(containers.map(({ name }: Json) => name).sort(), ["a", "b"]);
    const a = containers.find(({ name }: Json) => name === "a");
    assert.deepEqual(a.env.map(({ name }: Json) => name).sort(), ["A", "B"]);
    assert.equal(a.imagePullPolicy, "IfNotPresent");
    const owned = owners(merged)["two Apply"] as Answer["body"];
    assert.deepEqual(owned["f:spec"]["f:template"]["f:spec"]["f:containers"], {
      'k:{"name":"a"}': {
        ".": {},
        "f:env": { 'k:{"name":"B"}': { ".": {}, "f:name": {}, "f:value": {} } },
        "f:name": {},
      },
      'k:{"name":"b"}': { ".": {}, "f:image": {}, "f:name": {} },
    });
    const gone = await apply(`${deployments}/lists`, { ...sidecar, spec: {} }, "two");
    assert.deepEqual(
      gone.body.spec.template.spec.containers.map(({ name }: Json) => name),
      ["a"],
    );
    assert.deepEqual(gone.body.spec.template.spec.containers[0].env, [{ name: "A", value: "1" }]);
  });

  it("returns to the default what was applied and is no longer", async () => {
    const first = deployment(cluster.namespace, "back", { revisionHistoryLimit: 3, strategy: { type: "Recreate" } });
    await apply(`${deployments}/back`, first, "one");
    const { body } = await apply(`${deployments}/back`, deployment(cluster.namespace, "back"), "one");
    assert.equal(body.spec.revisionHistoryLimit, 10);
    assert.deepEqual(body.spec.strategy, {
      type: "RollingUpdate",
      rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" },
    });
  });

  it("owns the status by its own door", async () => {
    const name = "st";
    await apply(`${deployments}/${name}`, deployment(cluster.namespace, name), "one");
    const status = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: cluster.namespace },
      status: {
        conditions: [
          {
            type: "Weft",
            status: "True",
            reason: "Test",
            message: "m",
            lastTransitionTime: "2026-01-01T00:00:00Z",
            lastUpdateTime: "2026-01-01T00:00:00Z",
          },
        ],
      },
    };
    const applied = await apply(`${deployments}/${name}/status`, status, "two");
    assert.equal(applied.status, 200);
    assert.ok("f:status" in (owners(applied)["two Apply status"] ?? {}));
    const ignored = await apply(
      `${deployments}/${name}`,
      { ...status, metadata: { name, namespace: cluster.namespace } },
      "three",
    );
    assert.equal(ignored.status, 200);
    assert.equal("f:status" in (owners(ignored)["three Apply"] ?? {}), false);
  });

  it("is only tried with dryRun", async () => {
    const made = await applyMap("dry", { x: "1" }, "one", { dryRun: "All" });
    assert.equal(made.status, 201);
    assert.equal((await cluster.ask("GET", `${maps}/dry`)).status, 404);
    await applyMap("dry", { x: "1" }, "one");
    const changed = await applyMap("dry", { x: "2" }, "one", { dryRun: "All" });
    assert.equal(changed.body.data.x, "2");
    assert.equal((await cluster.ask("GET", `${maps}/dry`)).body.data.x, "1");
  });

  it("refuses another's managedFields, another name, an old version", async () => {
    const own = await applyMap("m", { x: "1" }, "one");
    const fields = await apply(
      `${maps}/m`,
      { ...configMap(cluster.namespace, "m"), metadata: own.body.metadata },
      "one",
    );
    assert.equal(fields.status, 400);
    assert.match(fields.body.message, /metadata.managedFields must be nil/);
    const name = await apply(`${maps}/m`, configMap(cluster.namespace, "other"), "one");
    assert.equal(name.status, 400);
    const old = configMap(cluster.namespace, "m", { x: "3" }, { resourceVersion: own.body.metadata.resourceVersion });
    await applyMap("m", { x: "2" }, "one");
    const stale = await apply(`${maps}/m`, old, "one");
    assert.equal(stale.status, 409);
  });
});

describe("patches", () => {
  let cluster: Cluster;
  let deployments: string;

  before(async () => {
    cluster = await connect();
    deployments = `/apis/apps/v1/namespaces/${cluster.namespace}/deployments`;
    await cluster.ask("POST", deployments, { body: deployment(cluster.namespace, "p") });
  });
  after(() => cluster.close());

  const patch = (type: string, body: unknown): Promise<Answer> =>
    cluster.ask("PATCH", `${deployments}/p`, { headers: { "content-type": `application/${type}+json` }, body });

  it("merge: a list is replaced, null removes", async () => {
    const labelled = await patch("merge-patch", { metadata: { labels: { a: "1", b: "2" } } });
    assert.deepEqual(labelled.body.metadata.labels, { a: "1", b: "2" });
    const less = await patch("merge-patch", { metadata: { labels: { a: null } } });
    assert.deepEqual(less.body.metadata.labels, { b: "2" });
    const list = await patch("merge-patch", {
      spec: { template: { spec: { containers: [{ name: "only", image: "x" }] } } },
    });
    assert.equal(list.body.spec.template.spec.containers.length, 1);
    assert.equal(list.body.spec.template.spec.containers[0].name, "only");
  });

  it("strategic: containers merge by name, directives replace and delete", async () => {
    const added = await patch("strategic-merge-patch", {
      spec: {
        template: {
          spec: { containers: [{ name: "more", image: "y" }], tolerations: [{ key: "a", operator: "Exists" }] },
        },
      },
    });
    assert.deepEqual(added.body.spec.template.spec.containers.map(({ name }: Json) => name).sort(), ["more", "only"]);
    const changed = await patch("strategic-merge-patch", {
      spec: {
        template: {
          spec: {
            containers: [
              { name: "only", env: [{ name: "A", value: "1" }] },
              { name: "more", $patch: "delete" },
            ],
          },
        },
      },
    });
    assert.deepEqual(
      changed.body.spec.template.spec.containers.map(({ name, image }: Json) => [name, image]),
      [["only", "x"]],
    );
    const replaced = await patch("strategic-merge-patch", {
      spec: { template: { spec: { containers: [{ $patch: "replace" }, { name: "new", image: "z" }] } } },
    });
    assert.deepEqual(
      replaced.body.spec.template.spec.containers.map(({ name }: Json) => name),
      ["new"],
    );
    const recreate = await patch("strategic-merge-patch", {
      spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } },
    });
    assert.deepEqual(recreate.body.spec.strategy, { type: "Recreate" });
  });

  it("JSON: operations in order, all or none", async () => {
    const done = await patch("json-patch", [
      { op: "test", path: "/spec/replicas", value: 0 },
      { op: "add", path: "/metadata/annotations", value: { "weft.dev/a~b": "1" } },
      { op: "replace", path: "/metadata/annotations/weft.dev~1a~0b", value: "2" },
      { op: "add", path: "/spec/template/spec/containers/-", value: { name: "last", image: "l" } },
    ]);
    assert.equal(done.status, 422, "an annotation's name holds no ~");
    const good = await patch("json-patch", [
      { op: "add", path: "/metadata/annotations", value: { "weft.dev/a": "1" } },
      { op: "copy", from: "/metadata/annotations/weft.dev~1a", path: "/metadata/annotations/weft.dev~1b" },
      { op: "add", path: "/spec/template/spec/containers/0", value: { name: "first", image: "f" } },
    ]);
    assert.equal(good.status, 200);
    assert.equal(good.body.metadata.annotations["weft.dev/b"], "1");
    assert.equal(good.body.spec.template.spec.containers[0].name, "first");
    const failed = await patch("json-patch", [
      { op: "add", path: "/metadata/labels/late", value: "1" },
      { op: "test", path: "/spec/replicas", value: 5 },
    ]);
    assert.equal(failed.status, 422);
    assert.match(failed.body.message, /^the server rejected our request due to an error in our request/);
    assert.equal((await cluster.ask("GET", `${deployments}/p`)).body.metadata.labels.late, undefined);
  });

  it("of another kind are refused", async () => {
    assert.equal((await patch("x-patch", {})).status, 415);
  });
});
