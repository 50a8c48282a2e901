import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { type Answer, type Cluster, configMap, connect, eventually, type Json } from "./support/cluster.ts";
import { startTlsServer, type TlsServer } from "./support/tls-server.ts";

/** /mutate labels with the request's operation, dryRun and user; /deny refuses; /slow answers late; /broken answers nonsense. */
const SCRIPT = `
require("https").createServer(tls, (q, r) => {
  let body = "";
  q.on("data", (chunk) => (body += chunk));
  q.on("end", () => {
    const { request } = JSON.parse(body);
    const answer = (response) => {
      r.setHeader("content-type", "application/json");
      r.end(JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: { uid: request.uid, ...response } }));
    };
    const path = new URL(q.url, "https://x").pathname;
    if (path === "/broken") return r.end("nonsense");
    if (path === "/slow") return setTimeout(() => answer({ allowed: true }), 5000);
    if (path === "/deny") return answer({ allowed: false, status: { code: 418, message: "not today" }, warnings: ["mind this"] });
    const seen = { op: request.operation, dry: String(request.dryRun), kind: request.kind.kind, user: request.userInfo.username, name: request.name ?? "-", ns: request.namespace };
    const patch = [{ op: "add", path: "/metadata/annotations", value: { "weft.dev/seen": JSON.stringify(seen) } }];
    answer({ allowed: true, patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") });
  });
}).listen(8443);
`;

describe("webhooks", () => {
  let cluster: Cluster;
  let server: TlsServer;
  let maps: string;
  let made: (() => Promise<void>)[] = [];

  before(async () => {
    cluster = await connect({ "weft.dev/contract": "hooks" });
    maps = `/api/v1/namespaces/${cluster.namespace}/configmaps`;
    server = await startTlsServer(cluster, "hook", SCRIPT);
  });
  after(async () => {
    await clear();
    await cluster.close();
  });

  async function clear(): Promise<void> {
    for (const remove of made) await remove();
    made = [];
  }

  /** In this namespace only, for objects labelled `hook: <path>`. */
  async function install(kind: "Mutating" | "Validating", path: string, more: Json = {}): Promise<void> {
    await clear();
    const entry =
      kind === "Mutating" ? resource.mutatingWebhookConfigurations : resource.validatingWebhookConfigurations;
    const name = `${cluster.namespace}-${path}`;
    const configuration: KubeObject = {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: `${kind}WebhookConfiguration`,
      metadata: { name },
      webhooks: [
        {
          name: "hook.contract.weft.dev",
          admissionReviewVersions: ["v1"],
          sideEffects: "None",
          timeoutSeconds: 2,
          failurePolicy: "Fail",
          clientConfig: {
            service: { name: "hook", namespace: cluster.namespace, path: `/${path}` },
            caBundle: server.caBundle,
          },
          rules: [
            { operations: ["CREATE", "UPDATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] },
          ],
          namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": cluster.namespace } },
          objectSelector: { matchLabels: { hook: path } },
          ...more,
        },
      ],
    };
    await cluster.client.create(entry, configuration);
    made.push(() => cluster.client.delete(entry, name));
  }
  const create = (name: string, hook: string, query: Json = {}, more: Json = {}): Promise<Answer> =>
    cluster.ask("POST", maps, {
      query: query as Record<string, string>,
      body: configMap(cluster.namespace, name, {}, { labels: { hook }, ...more }),
    });
  /** The API server learns of webhooks by watching. */
  const until = (what: string, done: (answer: Answer) => boolean, hook: string): Promise<Answer> =>
    eventually(what, async () => {
      const answer = await create("", hook, { dryRun: "All" }, { name: undefined, generateName: "try-" });
      return done(answer) ? answer : undefined;
    });
  const seen = (answer: Answer): Json | undefined => {
    const text = answer.body.metadata?.annotations?.["weft.dev/seen"] as string | undefined;
    return text === undefined ? undefined : (JSON.parse(text) as Json);
  };

  it("change what is to be stored, and see who asked for what", async () => {
    await install("Mutating", "mutate");
    const tried = await until("the webhook", (answer) => seen(answer) !== undefined, "mutate");
    assert.deepEqual(
      { ...seen(tried), user: undefined, name: undefined },
      { op: "CREATE", dry: "true", kind: "ConfigMap", user: undefined, name: undefined, ns: cluster.namespace },
    );
    const { body: self } = await cluster.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
    });
    const stored = await create("m", "mutate");
    assert.equal(stored.status, 201);
    assert.deepEqual(seen(stored), {
      op: "CREATE",
      dry: "false",
      kind: "ConfigMap",
      user: self.status.userInfo.username,
      name: "m",
      ns: cluster.namespace,
    });
    const headers = { "content-type": "application/merge-patch+json" };
    const updated = await cluster.ask("PATCH", `${maps}/m`, { headers, body: { data: { a: "1" } } });
    assert.equal(seen(updated)?.["op"], "UPDATE");
  });

  it("see only what their selectors and rules choose", async () => {
    assert.equal(seen(await create("other", "unlabelled")), undefined);
    const secret = await cluster.ask("POST", `/api/v1/namespaces/${cluster.namespace}/secrets`, {
      body: {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "s", namespace: cluster.namespace, labels: { hook: "mutate" } },
      },
    });
    assert.equal(seen(secret), undefined);
  });

  it("refuse", async () => {
    await install("Validating", "deny");
    const refused = await until("the refusal", ({ status }) => status >= 400, "deny");
    assert.equal(refused.status, 418);
    assert.equal(refused.body.message, 'admission webhook "hook.contract.weft.dev" denied the request: not today');
    assert.match(refused.headers["warning"] ?? "", /mind this/);
  });

  it("that fail stop the request, or are passed over, as their policy says", async () => {
    await install("Mutating", "broken");
    const stopped = await until("the failure", ({ status }) => status >= 400, "broken");
    assert.equal(stopped.status, 500);
    assert.equal(stopped.body.reason, "InternalError");
    assert.match(stopped.body.message, /^Internal error occurred: failed calling webhook "hook.contract.weft.dev": /);
    await install("Mutating", "broken", { failurePolicy: "Ignore" });
    const passed = await until("it to be passed over", ({ status }) => status === 201, "broken");
    assert.equal(passed.status, 201);
  });

  it("that are too slow count as failed", async () => {
    await install("Validating", "slow", { timeoutSeconds: 1 });
    const late = await until("the timeout", ({ status }) => status >= 400, "slow");
    assert.equal(late.status, 500);
    assert.match(
      late.body.message,
      /failed calling webhook "hook.contract.weft.dev": .*(context deadline exceeded|timeout)/i,
    );
  });

  it("whose Service is not there count as failed", async () => {
    const service = { name: "hook", namespace: cluster.namespace, path: "/mutate" };
    await install("Mutating", "mutate", {
      clientConfig: { service: { ...service, name: "nowhere" }, caBundle: server.caBundle },
    });
    const failed = await until("the failure", ({ status }) => status >= 400, "mutate");
    assert.match(failed.body.message, /failed calling webhook .*service "nowhere" not found/);
  });
});
