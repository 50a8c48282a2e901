import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { httpsTransport } from "../../runtime/kube/https-transport.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeObject, KubeTransport } from "../../runtime/kube/types.ts";
import { type Answer, ask, type Cluster, connect, eventually, type Json, resolvedContext } from "./support/cluster.ts";

const RBAC = "rbac.authorization.k8s.io/v1";

describe("who may do what", () => {
  let cluster: Cluster;
  const extras: (() => Promise<unknown>)[] = [];

  before(async () => {
    cluster = await connect();
  });
  after(async () => {
    for (const remove of extras) await remove();
    await cluster.close();
  });

  const as = (user: string, groups?: string): Record<string, string> => ({
    "impersonate-user": user,
    ...(groups === undefined ? {} : { "impersonate-group": groups }),
  });
  const asAccount = (name: string): Record<string, string> => as(`system:serviceaccount:${cluster.namespace}:${name}`);

  async function make(object: KubeObject): Promise<void> {
    const namespaced = object.kind === "Role" || object.kind === "RoleBinding" || object.kind === "ServiceAccount";
    const entries = {
      Role: resource.roles,
      RoleBinding: resource.roleBindings,
      ClusterRole: resource.clusterRoles,
      ServiceAccount: resource.serviceAccounts,
    };
    const entry = entries[object.kind as keyof typeof entries];
    await cluster.client.create(entry, object);
    if (!namespaced) extras.push(() => cluster.client.delete(entry, object.metadata.name));
  }
  const meta = (name: string): KubeObject["metadata"] => ({ name, namespace: cluster.namespace });
  const bind = (name: string, roleRef: Json, subjects: Json[]): Promise<void> =>
    make({ apiVersion: RBAC, kind: "RoleBinding", metadata: meta(name), roleRef, subjects });
  const path = (plural: string, name = ""): string =>
    `/api/v1/namespaces/${cluster.namespace}/${plural}${name === "" ? "" : `/${name}`}`;

  it("a stranger may nothing, and is told so", async () => {
    const list = await cluster.ask("GET", path("pods"), { headers: as("bob") });
    assert.equal(list.status, 403);
    assert.equal(list.body.reason, "Forbidden");
    assert.equal(
      list.body.message,
      `pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "${cluster.namespace}"`,
    );
    assert.deepEqual(list.body.details, { kind: "pods" });
    const one = await cluster.ask("DELETE", `/apis/apps/v1/namespaces/${cluster.namespace}/deployments/a`, {
      headers: as("bob"),
    });
    assert.equal(
      one.body.message,
      `deployments.apps "a" is forbidden: User "bob" cannot delete resource "deployments" in API group "apps" in the namespace "${cluster.namespace}"`,
    );
    const nodes = await cluster.ask("GET", "/api/v1/nodes", { headers: as("bob") });
    assert.equal(
      nodes.body.message,
      'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope',
    );
    const token = await cluster.ask("POST", `${path("serviceaccounts", "default")}/token`, {
      headers: as("bob"),
      body: {},
    });
    assert.match(token.body.message, /cannot create resource "serviceaccounts\/token"/);
    const metrics = await cluster.ask("GET", "/metrics", { headers: as("bob") });
    assert.equal(metrics.body.message, 'forbidden: User "bob" cannot get path "/metrics"');
  });

  it("everybody may ask what is served, and what they may do", async () => {
    for (const url of ["/version", "/api", "/apis", "/healthz", "/openapi/v3"]) {
      assert.equal((await cluster.ask("GET", url, { headers: as("bob") })).status, 200, url);
    }
    const review = await cluster.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
      headers: as("bob", "makers"),
      body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
    });
    assert.equal(review.body.status.userInfo.username, "bob");
    assert.deepEqual(review.body.status.userInfo.groups, ["makers", "system:authenticated"]);
  });

  it("a role gives its verbs on its resources, its names, its namespace", async () => {
    const rules = [
      { apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list"], resourceNames: ["mine"] },
      { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
      { apiGroups: ["apps"], resources: ["*"], verbs: ["get"] },
    ];
    await make({ apiVersion: RBAC, kind: "Role", metadata: meta("reader"), rules });
    await bind("reader", { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" }, [
      { kind: "ServiceAccount", name: "robot", namespace: cluster.namespace },
      { apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "readers" },
    ]);
    const status = async (
      url: string,
      headers: Record<string, string>,
      query: Record<string, string> = {},
    ): Promise<number> => (await cluster.ask("GET", url, { headers, query })).status;
    const robot = asAccount("robot");
    await eventually("the role to be known", async () => (await status(path("configmaps", "mine"), robot)) === 404);
    assert.equal(await status(path("configmaps", "other"), robot), 403);
    assert.equal(await status(path("configmaps"), robot), 403);
    assert.equal(await status(path("configmaps"), robot, { fieldSelector: "metadata.name=mine" }), 200);
    assert.equal(await status(path("configmaps", "mine"), as("ann", "readers")), 404);
    assert.equal(await status(`${path("pods", "p")}/log`, robot), 404);
    assert.equal(await status(path("pods", "p"), robot), 403);
    assert.equal(await status(`/apis/apps/v1/namespaces/${cluster.namespace}/deployments/d`, robot), 404);
    assert.equal(await status("/api/v1/namespaces/default/configmaps/mine", robot), 403);
  });

  it("view, edit and admin collect what is labelled for them", async () => {
    await make({ apiVersion: "v1", kind: "ServiceAccount", metadata: meta("viewer") });
    await bind("viewer", { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" }, [
      { kind: "ServiceAccount", name: "viewer", namespace: cluster.namespace },
    ]);
    const viewer = asAccount("viewer");
    await eventually(
      "view to hold",
      async () => (await cluster.ask("GET", path("pods"), { headers: viewer })).status === 200,
    );
    assert.equal((await cluster.ask("GET", path("secrets"), { headers: viewer })).status, 403);
    const contract = `/apis/contract.weft.dev/v1/namespaces/${cluster.namespace}/figures`;
    assert.equal((await cluster.ask("GET", contract, { headers: viewer })).status, 403);
    await make({
      apiVersion: RBAC,
      kind: "ClusterRole",
      metadata: {
        name: `weft-contract-${cluster.namespace}`,
        labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" },
      },
      rules: [{ apiGroups: ["contract.weft.dev"], resources: ["figures"], verbs: ["get", "list"] }],
    });
    await eventually(
      "the aggregated rule",
      async () => (await cluster.ask("GET", contract, { headers: viewer })).status === 404,
    );
  });

  it("reviews answer for others and for oneself", async () => {
    const review = (user: Json, attributes: Json): Promise<Answer> =>
      cluster.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
        body: { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec: { ...user, ...attributes } },
      });
    const pods = {
      resourceAttributes: { namespace: cluster.namespace, verb: "get", resource: "configmaps", name: "mine" },
    };
    const allowed = await review({ user: "x", groups: ["readers"] }, pods);
    assert.equal(allowed.status, 201);
    assert.equal(allowed.body.status.allowed, true);
    assert.match(
      allowed.body.status.reason,
      /^RBAC: allowed by RoleBinding "reader\/.*" of Role "reader" to Group "readers"$/,
    );
    const refused = await review({ user: "x", groups: ["others"] }, pods);
    assert.equal(refused.body.status.allowed, false);
    const nonResource = await review(
      { user: "x", groups: ["system:authenticated"] },
      { nonResourceAttributes: { path: "/healthz", verb: "get" } },
    );
    assert.equal(nonResource.body.status.allowed, true);
    const self = await cluster.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      headers: as("bob"),
      body: { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: pods },
    });
    assert.equal(self.body.status.allowed, false);
    const rules = await cluster.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
      headers: as("ann", "readers"),
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectRulesReview",
        spec: { namespace: cluster.namespace },
      },
    });
    assert.deepEqual(
      rules.body.status.resourceRules.filter(({ resourceNames }: Json) => resourceNames !== undefined),
      [{ verbs: ["get", "list"], apiGroups: [""], resources: ["configmaps"], resourceNames: ["mine"] }],
    );
  });

  it("only who may impersonates", async () => {
    const token = await cluster.ask("POST", `${path("serviceaccounts", "viewer")}/token`, { body: { spec: {} } });
    const viewer = await tokenTransport(token.body.status.token);
    try {
      const answer = await ask(viewer, "GET", path("pods"), { headers: as("bob") });
      assert.equal(answer.status, 403);
      assert.equal(
        answer.body.message,
        `users "bob" is forbidden: User "system:serviceaccount:${cluster.namespace}:viewer" cannot impersonate resource "users" in API group "" at the cluster scope`,
      );
    } finally {
      viewer.close();
    }
  });
});

/** Asks with nothing but a token. */
async function tokenTransport(token: string): Promise<KubeTransport> {
  const { cluster } = await resolvedContext();
  const ca = Buffer.from(cluster.certificateAuthorityData ?? "", "base64").toString("utf8");
  const tls = { ca };
  return httpsTransport({
    server: cluster.server,
    credentials: async () => ({ headers: { authorization: `Bearer ${token}` }, tls }),
  });
}

describe("tokens of service accounts", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  const request = (spec: Json): Promise<Answer> =>
    cluster.ask("POST", `/api/v1/namespaces/${cluster.namespace}/serviceaccounts/default/token`, {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec },
    });
  const review = (token: string, audiences?: string[]): Promise<Answer> =>
    cluster.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
      body: {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, ...(audiences === undefined ? {} : { audiences }) },
      },
    });
  const claims = (token: string): Json =>
    JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as Json;

  it("let their account in", async () => {
    const { status, body } = await request({});
    assert.equal(status, 201);
    assert.match(body.status.expirationTimestamp, /Z$/);
    assert.equal(claims(body.status.token)["sub"], `system:serviceaccount:${cluster.namespace}:default`);
    const transport = await tokenTransport(body.status.token);
    try {
      const self = await ask(transport, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
        body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
      });
      assert.equal(self.body.status.userInfo.username, `system:serviceaccount:${cluster.namespace}:default`);
      assert.deepEqual(self.body.status.userInfo.groups, [
        "system:serviceaccounts",
        `system:serviceaccounts:${cluster.namespace}`,
        "system:authenticated",
      ]);
      assert.match(self.body.status.userInfo.extra["authentication.kubernetes.io/credential-id"][0], /^JTI=/);
    } finally {
      transport.close();
    }
  });

  it("are for the audiences they name, and no others", async () => {
    const { body } = await request({ audiences: ["identity.l5d.io"], expirationSeconds: 600 });
    const { token } = body.status;
    assert.deepEqual(claims(token)["aud"], ["identity.l5d.io"]);
    const right = await review(token, ["identity.l5d.io"]);
    assert.equal(right.status, 201);
    assert.equal(right.body.status.authenticated, true);
    assert.deepEqual(right.body.status.audiences, ["identity.l5d.io"]);
    assert.equal(right.body.status.user.username, `system:serviceaccount:${cluster.namespace}:default`);
    const wrong = await review(token);
    assert.equal(wrong.body.status.authenticated ?? false, false);
    assert.match(wrong.body.status.error, /token audiences \["identity.l5d.io"\] is invalid for the target audiences/);
    const transport = await tokenTransport(token);
    assert.equal((await ask(transport, "GET", "/version")).status, 401);
    transport.close();
  });

  it("are refused when they are broken", async () => {
    const broken = await review("abc.def.ghi");
    assert.equal(broken.body.status.authenticated ?? false, false);
    assert.ok(broken.body.status.error.length > 0);
    const transport = await tokenTransport("abc.def.ghi");
    const answer = await ask(transport, "GET", "/api/v1/pods");
    assert.equal(answer.status, 401);
    assert.equal(answer.body.reason, "Unauthorized");
    assert.equal(answer.body.message, "Unauthorized");
    transport.close();
    const short = await request({ expirationSeconds: 60 });
    assert.equal(short.status, 422);
    assert.match(short.body.message, /may not specify a duration less than 10 minutes/);
  });

  it("die with the account", async () => {
    const account = {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "brief", namespace: cluster.namespace },
    };
    await cluster.client.create(resource.serviceAccounts, account);
    const { body } = await cluster.ask("POST", `/api/v1/namespaces/${cluster.namespace}/serviceaccounts/brief/token`, {
      body: { spec: {} },
    });
    assert.equal((await review(body.status.token)).body.status.authenticated, true);
    await cluster.client.delete(resource.serviceAccounts, "brief", cluster.namespace);
    await eventually(
      "the token to be refused",
      async () => (await review(body.status.token)).body.status.authenticated !== true,
      60_000,
    );
  });
});
