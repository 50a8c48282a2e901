import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Cluster, connect, type Json } from "./support/cluster.ts";

describe("discovery", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  it("tells the version, and that it is well", async () => {
    const { body } = await cluster.ask("GET", "/version");
    assert.equal(body.major, "1");
    assert.ok(Number.parseInt(body.minor, 10) >= 29);
    assert.match(body.gitVersion, /^v1\.\d+\.\d+/);
    for (const path of ["/healthz", "/livez", "/readyz"]) {
      const answer = await cluster.ask("GET", path);
      assert.deepEqual([answer.status, answer.body.text], [200, "ok"]);
    }
  });

  it("lists groups, versions, resources", async () => {
    assert.deepEqual((await cluster.ask("GET", "/api")).body.versions, ["v1"]);
    const { body: groups } = await cluster.ask("GET", "/apis");
    assert.equal(groups.kind, "APIGroupList");
    const apps = (groups.groups as Json[]).find(({ name }) => name === "apps");
    assert.deepEqual(apps?.["preferredVersion"], { groupVersion: "apps/v1", version: "v1" });
    assert.equal((await cluster.ask("GET", "/apis/apps")).body.kind, "APIGroup");
    const { body: core } = await cluster.ask("GET", "/api/v1");
    const pods = (core.resources as Json[]).find(({ name }) => name === "pods");
    assert.deepEqual(
      [pods?.["kind"], pods?.["namespaced"], pods?.["singularName"], pods?.["shortNames"], pods?.["categories"]],
      ["Pod", true, "pod", ["po"], ["all"]],
    );
    assert.deepEqual(pods?.["verbs"], [
      "create",
      "delete",
      "deletecollection",
      "get",
      "list",
      "patch",
      "update",
      "watch",
    ]);
    const names = (core.resources as Json[]).map(({ name }) => name);
    for (const name of ["pods/log", "pods/status", "serviceaccounts/token", "namespaces/finalize"])
      assert.ok(names.includes(name), name);
    const { body: authorization } = await cluster.ask("GET", "/apis/authorization.k8s.io/v1");
    const review = (authorization.resources as Json[]).find(({ name }) => name === "subjectaccessreviews");
    assert.deepEqual(review?.["verbs"], ["create"]);
  });

  it("tells it all at once to who asks", async () => {
    const headers = { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json" };
    for (const [path, group, plural] of [
      ["/api", "", "configmaps"],
      ["/apis", "apps", "deployments"],
    ] as const) {
      const { body, headers: answer } = await cluster.ask("GET", path, { headers });
      assert.equal(body.kind, "APIGroupDiscoveryList");
      assert.match(answer["content-type"] ?? "", /as=APIGroupDiscoveryList/);
      const item = (
        body.items as { metadata: Json; versions: { version: string; freshness: string; resources: Json[] }[] }[]
      ).find(({ metadata }) => (metadata["name"] ?? "") === group);
      const version = item?.versions.find((entry) => entry.version === "v1");
      assert.equal(version?.freshness, "Current");
      const entry = version?.resources.find(({ resource }) => resource === plural);
      assert.equal(entry?.["scope"], "Namespaced");
      assert.ok(((entry?.["verbs"] ?? []) as string[]).includes("watch"));
    }
  });

  it("says that writes can be validated strictly, so that kubectl need not", async () => {
    const { body } = await cluster.ask("GET", "/openapi/v3");
    const { serverRelativeURL } = body.paths["apis/apps/v1"];
    const url = new URL(serverRelativeURL, "https://x");
    const document = await cluster.ask("GET", url.pathname, { query: Object.fromEntries(url.searchParams) });
    const { patch } = document.body.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    const parameters = patch.parameters as Json[];
    assert.ok(parameters.some(({ name }) => name === "fieldValidation"));
    assert.deepEqual(patch["x-kubernetes-group-version-kind"], { group: "apps", version: "v1", kind: "Deployment" });
  });
});
