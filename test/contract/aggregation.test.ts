import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { readLines } from "../../runtime/kube/lines.ts";
import { resource } from "../../runtime/kube/resources.ts";
import { type Answer, type Cluster, connect, eventually, type Json } from "./support/cluster.ts";
import { startTlsServer } from "./support/tls-server.ts";

const GROUP = "api.contract.weft.dev";
const NAME = `v1.${GROUP}`;

/** Tells what it was asked, and by whom; `stream` sends a line every 100 ms. */
const SCRIPT = `
require("https").createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (q, r) => {
  const path = new URL(q.url, "https://x").pathname;
  r.setHeader("content-type", "application/json");
  if (path === "/apis/${GROUP}/v1") {
    return r.end(JSON.stringify({ kind: "APIResourceList", apiVersion: "v1", groupVersion: "${GROUP}/v1", resources: [{ name: "echoes", singularName: "echo", namespaced: true, kind: "Echo", verbs: ["get", "create"] }] }));
  }
  if (path.endsWith("/stream")) {
    let n = 0;
    const timer = setInterval(() => r.write(JSON.stringify({ n: n++ }) + "\\n"), 100);
    return q.on("close", () => clearInterval(timer));
  }
  let body = "";
  q.on("data", (chunk) => (body += chunk));
  q.on("end", () => {
    r.statusCode = path.endsWith("/teapot") ? 418 : 200;
    r.end(JSON.stringify({ url: q.url, method: q.method, body, user: q.headers["x-remote-user"], groups: q.headers["x-remote-group"], extra: q.headers["x-remote-extra-reason"], authorization: q.headers.authorization, cn: q.socket.getPeerCertificate().subject?.CN }));
  });
}).listen(8443);
`;

describe("an aggregated API", () => {
  let cluster: Cluster;
  let root: string;

  before(async () => {
    cluster = await connect();
    root = `/apis/${GROUP}/v1/namespaces/${cluster.namespace}/echoes`;
    const { caBundle } = await startTlsServer(cluster, "aggregated", SCRIPT);
    await cluster.client.create(resource.apiServices, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: NAME },
      spec: {
        group: GROUP,
        version: "v1",
        groupPriorityMinimum: 1000,
        versionPriority: 10,
        caBundle,
        service: { namespace: cluster.namespace, name: "aggregated" },
      },
    });
  });
  after(async () => {
    await cluster.client.delete(resource.apiServices, NAME);
    await cluster.close();
  });

  it("is available once its server answers", async () => {
    const condition = await eventually("the condition", async () => {
      const { body } = await cluster.ask("GET", `/apis/apiregistration.k8s.io/v1/apiservices/${NAME}`);
      return ((body.status?.conditions ?? []) as Json[]).find(
        (entry) => entry["type"] === "Available" && entry["status"] === "True",
      );
    });
    assert.equal(condition["reason"], "Passed");
    assert.equal(condition["message"], "all checks passed");
  });

  it("is asked in the name of the user, by the front proxy", async () => {
    const answer = await eventually("an answer", async () => {
      const asked = await cluster.ask("POST", `${root}/one`, { query: { a: "b" }, body: { hello: 1 } });
      return asked.status === 200 ? asked : undefined;
    });
    const { body } = answer;
    assert.equal(body.url, `${root}/one?a=b`);
    assert.equal(body.method, "POST");
    assert.equal(body.body, '{"hello":1}');
    assert.equal(body.authorization, undefined);
    assert.equal(body.cn, "front-proxy-client");
    const self = await cluster.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
    });
    assert.equal(body.user, self.body.status.userInfo.username);
    const other = await cluster.ask("GET", `${root}/one`, {
      headers: { "impersonate-user": "ann", "impersonate-group": "system:masters", "impersonate-extra-reason": "why" },
    });
    assert.equal(other.body.user, "ann");
    assert.match(other.body.groups, /system:masters/);
    assert.equal(other.body.extra, "why");
  });

  it("is authorized before it is asked", async () => {
    const answer = await cluster.ask("GET", `${root}/one`, { headers: { "impersonate-user": "bob" } });
    assert.equal(answer.status, 403);
    assert.equal(
      answer.body.message,
      `echoes.${GROUP} "one" is forbidden: User "bob" cannot get resource "echoes" in API group "${GROUP}" in the namespace "${cluster.namespace}"`,
    );
  });

  it("knows watch as a verb in the path", async () => {
    const path = `/apis/${GROUP}/v1/watch/namespaces/${cluster.namespace}/echoes/one/tap`;
    assert.equal((await cluster.ask("GET", path)).body.url, path);
    const refused = await cluster.ask("GET", path, { headers: { "impersonate-user": "bob" } });
    assert.equal(
      refused.body.message,
      `echoes.${GROUP} "one" is forbidden: User "bob" cannot watch resource "echoes/tap" in API group "${GROUP}" in the namespace "${cluster.namespace}"`,
    );
  });

  it("answers with its own status", async () => {
    assert.equal((await cluster.ask("GET", `${root}/teapot`)).status, 418);
  });

  it("streams, and ends when the client goes", async () => {
    const stream = await cluster.transport.open({ method: "GET", path: `${root}/stream` });
    assert.equal(stream.status, 200);
    const lines: string[] = [];
    for await (const line of readLines(stream.body)) {
      lines.push(line);
      if (lines.length === 3) break;
    }
    stream.close();
    assert.deepEqual(lines, ['{"n":0}', '{"n":1}', '{"n":2}']);
  });

  it("is discovered", async () => {
    const groups = await cluster.ask("GET", "/apis");
    const group = (groups.body.groups as Json[]).find(({ name }) => name === GROUP);
    assert.deepEqual(group?.["versions"], [{ groupVersion: `${GROUP}/v1`, version: "v1" }]);
    await eventually("the aggregated discovery", async () => {
      const headers = {
        accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
      };
      const { body } = await cluster.ask("GET", "/apis", { headers });
      assert.equal(body.kind, "APIGroupDiscoveryList");
      const item = body.items.find(({ metadata }: Answer["body"]) => metadata.name === GROUP);
      return item?.versions[0]?.resources?.some(({ resource: name }: Json) => name === "echoes");
    });
  });
});
