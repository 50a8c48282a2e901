import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Cluster, configMap, connect, deployment, eventually } from "./support/cluster.ts";

describe("objects", () => {
  let cluster: Cluster;
  let maps: string;

  before(async () => {
    cluster = await connect();
    maps = `/api/v1/namespaces/${cluster.namespace}/configmaps`;
  });
  after(() => cluster.close());

  it("are made with an identity, and once", async () => {
    const made = await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "a", { x: "1" }) });
    assert.equal(made.status, 201);
    assert.match(made.body.metadata.uid, /^[0-9a-f-]{36}$/);
    assert.match(made.body.metadata.resourceVersion, /^\d+$/);
    assert.match(made.body.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.equal(made.body.metadata.generation, undefined);
    const again = await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "a") });
    assert.equal(again.status, 409);
    assert.equal(again.body.reason, "AlreadyExists");
    assert.equal(again.body.message, 'configmaps "a" already exists');
    assert.deepEqual(again.body.details, { name: "a", kind: "configmaps" });
  });

  it("get a name where they bring only its beginning", async () => {
    const body = { ...configMap(cluster.namespace, ""), metadata: { generateName: "gen-" } };
    const made = await cluster.ask("POST", maps, { body });
    assert.equal(made.status, 201);
    assert.match(made.body.metadata.name, /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    assert.equal(made.body.metadata.generateName, "gen-");
  });

  it("are refused without a name, with the namespace of another, with a version", async () => {
    const nameless = await cluster.ask("POST", maps, { body: { apiVersion: "v1", kind: "ConfigMap", metadata: {} } });
    assert.equal(nameless.status, 422);
    assert.equal(nameless.body.reason, "Invalid");
    assert.deepEqual(nameless.body.details.causes, [
      {
        reason: "FieldValueRequired",
        message: "Required value: name or generateName is required",
        field: "metadata.name",
      },
    ]);
    const elsewhere = await cluster.ask("POST", maps, { body: configMap("default", "b") });
    assert.equal(elsewhere.status, 400);
    assert.match(
      elsewhere.body.message,
      /namespace of the provided object does not match the namespace sent on the request/,
    );
    const versioned = await cluster.ask("POST", maps, {
      body: configMap(cluster.namespace, "b", {}, { resourceVersion: "5" }),
    });
    assert.equal(versioned.status, 500);
    assert.match(versioned.body.message, /resourceVersion should not be set on objects to be created/);
  });

  it("are not found where they are not", async () => {
    const missing = await cluster.ask("GET", `${maps}/nowhere`);
    assert.equal(missing.status, 404);
    assert.equal(missing.body.kind, "Status");
    assert.equal(missing.body.status, "Failure");
    assert.equal(missing.body.message, 'configmaps "nowhere" not found');
    assert.deepEqual(missing.body.details, { name: "nowhere", kind: "configmaps" });
    const grouped = await cluster.ask("GET", `/apis/apps/v1/namespaces/${cluster.namespace}/deployments/nowhere`);
    assert.equal(grouped.body.message, 'deployments.apps "nowhere" not found');
    assert.deepEqual(grouped.body.details, { name: "nowhere", group: "apps", kind: "deployments" });
    assert.equal((await cluster.ask("GET", "/apis/nowhere.example.com/v1/things")).status, 404);
  });

  it("cannot be made in a namespace that is not there", async () => {
    const answer = await cluster.ask("POST", "/api/v1/namespaces/weft-nowhere/configmaps", {
      body: configMap("weft-nowhere", "a"),
    });
    assert.equal(answer.status, 404);
    assert.equal(answer.body.message, 'namespaces "weft-nowhere" not found');
  });

  it("change only from the version that is there", async () => {
    const { body: first } = await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "c", { x: "1" }) });
    const second = await cluster.ask("PUT", `${maps}/c`, { body: { ...first, data: { x: "2" } } });
    assert.equal(second.status, 200);
    assert.notEqual(second.body.metadata.resourceVersion, first.metadata.resourceVersion);
    assert.equal(second.body.metadata.uid, first.metadata.uid);
    const stale = await cluster.ask("PUT", `${maps}/c`, { body: { ...first, data: { x: "3" } } });
    assert.equal(stale.status, 409);
    assert.equal(stale.body.reason, "Conflict");
    assert.equal(
      stale.body.message,
      'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again',
    );
    // Without a version: whatever is there.
    const { resourceVersion: _version, ...metadata } = first.metadata;
    const blind = await cluster.ask("PUT", `${maps}/c`, { body: { ...first, metadata, data: { x: "4" } } });
    assert.equal(blind.status, 200);
    const same = await cluster.ask("PUT", `${maps}/c`, { body: blind.body });
    assert.equal(
      same.body.metadata.resourceVersion,
      blind.body.metadata.resourceVersion,
      "nothing changed, nothing written",
    );
    const other = await cluster.ask("PUT", `${maps}/other`, { body: { ...first, data: {} } });
    assert.equal(other.status, 400);
  });

  it("are only tried with dryRun", async () => {
    const query = { dryRun: "All" };
    const made = await cluster.ask("POST", maps, { query, body: configMap(cluster.namespace, "dry") });
    assert.equal(made.status, 201);
    assert.match(made.body.metadata.uid, /-/);
    assert.equal((await cluster.ask("GET", `${maps}/dry`)).status, 404);
    await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "wet") });
    assert.equal((await cluster.ask("DELETE", `${maps}/wet`, { query })).status, 200);
    assert.equal((await cluster.ask("GET", `${maps}/wet`)).status, 200);
    assert.equal(
      (await cluster.ask("POST", maps, { query: { dryRun: "Some" }, body: configMap(cluster.namespace, "d") })).status,
      422,
    );
  });

  it("count their generations where they have a spec", async () => {
    const deployments = `/apis/apps/v1/namespaces/${cluster.namespace}/deployments`;
    const { body: first } = await cluster.ask("POST", deployments, { body: deployment(cluster.namespace, "gen") });
    assert.equal(first.metadata.generation, 1);
    const merge = { "content-type": "application/merge-patch+json" };
    const labelled = await cluster.ask("PATCH", `${deployments}/gen`, {
      headers: merge,
      body: { metadata: { labels: { a: "b" } } },
    });
    assert.equal(labelled.body.metadata.generation, 1);
    const changed = await cluster.ask("PATCH", `${deployments}/gen`, {
      headers: merge,
      body: { spec: { paused: true } },
    });
    assert.equal(changed.body.metadata.generation, 2);
    const status = await cluster.ask("PATCH", `${deployments}/gen/status`, {
      headers: merge,
      body: { status: { replicas: 7 }, spec: { paused: false } },
    });
    assert.equal(status.body.metadata.generation, 2);
    assert.equal(status.body.spec.paused, true);
    const ignored = await cluster.ask("PATCH", `${deployments}/gen`, {
      headers: merge,
      body: { status: { replicas: 9 } },
    });
    assert.notEqual(ignored.body.status.replicas, 9);
  });

  it("wait with going until their finalizers went", async () => {
    await cluster.ask("POST", maps, {
      body: configMap(cluster.namespace, "held", {}, { finalizers: ["weft.dev/test"] }),
    });
    const deleted = await cluster.ask("DELETE", `${maps}/held`);
    assert.equal(deleted.status, 200);
    assert.match(deleted.body.metadata.deletionTimestamp, /Z$/);
    assert.equal(deleted.body.metadata.deletionGracePeriodSeconds, 0);
    const held = await cluster.ask("GET", `${maps}/held`);
    assert.equal(held.status, 200);
    const patch = [{ op: "remove", path: "/metadata/finalizers" }];
    const freed = await cluster.ask("PATCH", `${maps}/held`, {
      headers: { "content-type": "application/json-patch+json" },
      body: patch,
    });
    assert.equal(freed.status, 200);
    assert.equal((await cluster.ask("GET", `${maps}/held`)).status, 404);
  });

  it("go only as the ones that were meant", async () => {
    const { body: made } = await cluster.ask("POST", maps, { body: configMap(cluster.namespace, "meant") });
    const wrong = await cluster.ask("DELETE", `${maps}/meant`, {
      body: { preconditions: { uid: "11111111-1111-1111-1111-111111111111" } },
    });
    assert.equal(wrong.status, 409);
    assert.match(wrong.body.message, /the UID in the precondition \(11111111-.*\) does not match the UID in record/);
    const right = await cluster.ask("DELETE", `${maps}/meant`, { body: { preconditions: { uid: made.metadata.uid } } });
    assert.equal(right.status, 200);
    assert.equal(right.body.status, "Success");
    assert.deepEqual(right.body.details, { name: "meant", kind: "configmaps", uid: made.metadata.uid });
    const gone = await cluster.ask("DELETE", `${maps}/meant`);
    assert.equal(gone.status, 404);
  });

  it("keep what is immutable", async () => {
    const body = { ...configMap(cluster.namespace, "fixed", { a: "1" }), immutable: true };
    await cluster.ask("POST", maps, { body });
    const headers = { "content-type": "application/merge-patch+json" };
    const changed = await cluster.ask("PATCH", `${maps}/fixed`, { headers, body: { data: { a: "2" } } });
    assert.equal(changed.status, 422);
    assert.deepEqual(changed.body.details.causes, [
      {
        reason: "FieldValueForbidden",
        message: "Forbidden: field is immutable when `immutable` is set",
        field: "data",
      },
    ]);
    const labelled = await cluster.ask("PATCH", `${maps}/fixed`, {
      headers,
      body: { metadata: { labels: { a: "b" } } },
    });
    assert.equal(labelled.status, 200);
  });

  it("go all at once by their labels", async () => {
    const labels = { batch: "x" };
    for (const name of ["m1", "m2"])
      await cluster.ask("POST", maps, { body: configMap(cluster.namespace, name, {}, { labels }) });
    assert.equal((await cluster.ask("DELETE", maps, { query: { labelSelector: "batch=x" } })).status, 200);
    await eventually("both to go", async () => {
      const { body } = await cluster.ask("GET", maps, { query: { labelSelector: "batch=x" } });
      return body.items.length === 0;
    });
    assert.equal((await cluster.ask("GET", `${maps}/a`)).status, 200);
  });

  it("have the fields of their kind, and are told of others", async () => {
    const body = { ...configMap(cluster.namespace, "odd"), dat: {}, metadata: { name: "odd", label: {} } };
    const strict = await cluster.ask("POST", maps, { query: { fieldValidation: "Strict" }, body });
    assert.equal(strict.status, 400);
    assert.match(
      strict.body.message,
      /cannot be handled as a ConfigMap: strict decoding error: .*unknown field "metadata.label"/,
    );
    const warned = await cluster.ask("POST", maps, { body });
    assert.equal(warned.status, 201);
    assert.match(warned.headers["warning"] ?? "", /299 - "unknown field \\"dat\\""/);
    assert.equal(warned.body.dat, undefined);
    assert.equal(warned.body.data, undefined, "nothing is kept of what is empty");
    const wrong = await cluster.ask("POST", maps, {
      body: { ...configMap(cluster.namespace, "wrong"), data: { a: 1 } },
    });
    assert.equal(wrong.status, 400);
    assert.match(wrong.body.message, /cannot unmarshal number into Go struct field ConfigMap.data of type string/);
  });
});
