/** kubectl itself against whatever KUBECONFIG names: the verbs the sandbox promises. Runs where kubectl is on the PATH. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { type Cluster, connect, eventually } from "../contract/support/cluster.ts";

const IMAGE = process.env["WEFT_TEST_NODE_IMAGE"] ?? "docker.io/library/node:24-slim";

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe("kubectl", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  function kubectl(argv: readonly string[], input = ""): Promise<Result> {
    return new Promise((resolve, reject) => {
      const child = spawn("kubectl", ["-n", cluster.namespace, ...argv], { stdio: ["pipe", "pipe", "pipe"] });
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, stdout, stderr }));
      child.stdin.end(input);
    });
  }
  async function ok(argv: readonly string[], input = ""): Promise<string> {
    const { code, stdout, stderr } = await kubectl(argv, input);
    assert.equal(code, 0, `kubectl ${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  const manifest = (replicas: number): string => `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: main
        image: ${IMAGE}
        imagePullPolicy: IfNotPresent
        command: ["node", "-e", "console.log('hello from kubectl');process.on('SIGTERM',()=>process.exit(0));setInterval(()=>{},1e6)"]
`;

  it("apply --server-side: makes, then leaves alone, tells conflicts", async () => {
    const first = await ok(["apply", "--server-side", "-f", "-"], manifest(1));
    assert.equal(first, "service/web serverside-applied\ndeployment.apps/web serverside-applied\n");
    await ok(["apply", "--server-side", "-f", "-"], manifest(1));
    const other = await kubectl(["apply", "--server-side", "--field-manager=other", "-f", "-"], manifest(3));
    assert.equal(other.code, 1);
    assert.match(other.stderr, /Apply failed with 1 conflict: conflict with "kubectl": \.spec\.replicas/);
    const wrong = await kubectl(["apply", "--server-side", "-f", "-"], manifest(1).replace("replicas:", "replica:"));
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /unknown field "spec\.replica"|\.spec\.replica: field not declared in schema/);
  });

  it("rollout status, restart", async () => {
    const status = await ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert.match(status, /deployment "web" successfully rolled out\n$/);
    assert.equal(await ok(["rollout", "restart", "deployment/web"]), "deployment.apps/web restarted\n");
    await ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
    // A rollout is over before the last of the old pods is gone.
    await eventually("the old pod gone", async () => {
      const pods = await ok(["get", "pods", "-l", "app=web", "-o", "name"]);
      return pods.trim().split("\n").length === 1;
    });
  });

  it("get: tables, names, labels, YAML, wide", async () => {
    assert.match(await ok(["get", "deployments"]), /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +1\/1 +1 +1 +\d+/);
    assert.match(
      await ok(["get", "po", "-o", "wide"]),
      /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nweb-\S+ +1\/1 +Running/,
    );
    assert.match(
      await ok(["get", "svc"]),
      /^NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE\nweb +ClusterIP +10\.\S+ +<none> +80\/TCP/,
    );
    assert.match(await ok(["get", "rs", "-l", "app=web", "-o", "name"]), /^replicaset\.apps\/web-/);
    assert.equal(await ok(["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"]), "1");
    assert.match(
      await ok(["get", "all"]),
      /pod\/web-[\s\S]*service\/web[\s\S]*deployment\.apps\/web[\s\S]*replicaset\.apps\/web-/,
    );
    const missing = await kubectl(["get", "pod", "nowhere"]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /Error from server \(NotFound\): pods "nowhere" not found/);
    assert.match(await ok(["get", "nodes"]), /^NAME +STATUS +ROLES +AGE +VERSION\n\S+ +Ready +/);
    assert.match(await ok(["get", "apiservices", "v1.apps"]), /v1\.apps +Local +True/);
  });

  it("describe", async () => {
    const deployment = await ok(["describe", "deployment", "web"]);
    assert.match(deployment, /Replicas: +1 desired \| 1 updated \| 1 total \| 1 available \| 0 unavailable/);
    assert.match(deployment, /ScalingReplicaSet/);
    const pods = await ok(["describe", "pods"]);
    assert.match(pods, /Controlled By: +ReplicaSet\/web-/);
    assert.match(pods, /Normal +Scheduled/);
    const service = await ok(["describe", "service", "web"]);
    assert.match(service, /Endpoints: +\d+\.\d+\.\d+\.\d+:8080/);
    await ok(["describe", "namespace", cluster.namespace]);
    await ok(["describe", "nodes"]);
  });

  it("logs", async () => {
    assert.equal(await ok(["logs", "deployment/web"]), "hello from kubectl\n");
    assert.equal(await ok(["logs", "-l", "app=web", "--tail=1"]), "hello from kubectl\n");
  });

  it("as somebody else, with that user's rights", async () => {
    const refused = await kubectl(["get", "pods", "--as=bob"]);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /Error from server \(Forbidden\): pods is forbidden: User "bob" cannot list resource "pods"/,
    );
  });

  it("auth can-i, for oneself and for others", async () => {
    assert.equal(await ok(["auth", "can-i", "create", "pods"]), "yes\n");
    const other = await kubectl(["auth", "can-i", "list", "pods", "--as=bob"]);
    assert.deepEqual([other.code, other.stdout], [1, "no\n"]);
    assert.equal(await ok(["auth", "can-i", "get", "/healthz", "--as=bob"]), "yes\n");
  });

  it("delete waits until it is gone", async () => {
    const deleted = await ok(["delete", "-f", "-", "--timeout=60s"], manifest(1));
    assert.match(deleted, /service "web" deleted/);
    assert.match(deleted, /deployment\.apps "web" deleted/);
    const gone = await kubectl(["wait", "--for=delete", "pod", "-l", "app=web", "--timeout=30s"]);
    assert.equal(gone.code, 0, gone.stderr);
  });
});
