import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { readMeshConfig } from "../../runtime/mesh/detect.ts";
import { lastWords, type Pod, podTroubles } from "../../runtime/mesh/pods.ts";
import { annotation, container, proxyBundleName } from "../../runtime/model/names.ts";
import { type Ran, weft } from "./support/cli.ts";
import { type Kubeconfigs, temporaryKubeconfigs } from "./support/kubeconfigs.ts";
import { connectCluster, ensureMesh, eventually, freshNamespace, nodeImage, removeNamespace } from "./support/mesh.ts";

const QUICK_MS = 10_000;

describe("bad input gets one message that names the cause and the next step", () => {
  let client: KubeClient;
  let files: Kubeconfigs;
  let namespace: string;

  before(async () => {
    client = await connectCluster();
    files = temporaryKubeconfigs();
    await ensureMesh(client);
    namespace = await freshNamespace(client, "rights");
  });

  after(async () => {
    await removeNamespace(client, namespace);
    files.remove();
    client.transport.close();
  });

  it("a cluster with a node that no proxy was built for", async () => {
    const name = "weft-test-odd-processor";
    await client.create(resource.nodes, { apiVersion: "v1", kind: "Node", metadata: { name } });
    try {
      const nodeInfo = { architecture: "riscv64", operatingSystem: "linux" };
      await client.patch(resource.nodes, name, undefined, { status: { nodeInfo } }, { subresource: "status" });
      said(
        await weft(["install", "--yes"]),
        new RegExp(`node ${name} runs on riscv64, and this build of Weft carries no proxy for that`),
        /amd64 and arm64/,
      );
    } finally {
      await client.delete(resource.nodes, name);
    }
  });

  describe("of a kubeconfig", () => {
    it("that is no YAML", async () => {
      const file = files.write("broken", "clusters: [oops\n  - x: {");
      said(
        await weft(["stat", "svc", "--kubeconfig", file]),
        new RegExp(`× ${file} is no valid YAML`),
        /Mend the file/,
      );
    });

    it("that is something else", async () => {
      const file = files.write("pod", "apiVersion: v1\nkind: Pod\n");
      said(
        await weft(["check", "--kubeconfig", file]),
        /is no kubeconfig: its kind is Pod, not Config/,
        /Mend the file/,
      );
    });

    it("that is not there, named or by KUBECONFIG", async () => {
      said(
        await weft(["check", "--kubeconfig", "/nowhere/config"]),
        /\/nowhere\/config does not exist/,
        /Mend the file/,
      );
      said(
        await weft(["check"], { KUBECONFIG: "/nowhere/config" }),
        /no cluster is configured/,
        /--context|KUBECONFIG/,
      );
    });

    it("whose context is another one", async () => {
      said(await weft(["check", "--context", "nope"]), /there is no context "nope" in .*; there are: /, /--context/);
    });
  });

  describe("of a cluster", () => {
    it("at an address where nothing listens", async () => {
      const port = await closedPort();
      const ran = await weft(["stat", "svc", "--kubeconfig", files.at(`https://127.0.0.1:${port}`)]);
      said(ran, /× 127\.0\.0\.1:\d+ refused the connection: nothing listens there\. Is the cluster running/);
      assert.ok(ran.milliseconds < QUICK_MS);
      const check = await weft(["check", "--kubeconfig", files.at(`https://127.0.0.1:${port}`)]);
      assert.equal(check.code, 1);
      assert.match(check.stdout, /× can query the Kubernetes API\n {4}127\.0\.0\.1:\d+ refused/);
      assert.doesNotMatch(check.stdout, /weft-existence/);
    });

    it("that takes connections and says nothing", async () => {
      const server = createServer(() => {}).listen(0, "127.0.0.1");
      await new Promise((listening) => server.once("listening", listening));
      try {
        const { port } = server.address() as AddressInfo;
        const ran = await weft(["stat", "svc", "--kubeconfig", files.at(`https://127.0.0.1:${port}`)]);
        said(ran, new RegExp(`127\\.0\\.0\\.1:${port}`));
        assert.ok(ran.milliseconds < 45_000, `${ran.milliseconds} ms`);
      } finally {
        server.close();
      }
    });

    it("whose certificate is not trusted", async () => {
      const { server } = client.transport;
      said(await weft(["stat", "svc", "--kubeconfig", files.at(server)]), /is not trusted: its certificate/, undefined);
    });
  });

  describe("of a user", () => {
    it("without any rights", async () => {
      const kubeconfig = await files.as(`system:serviceaccount:${namespace}:nobody`, [
        "system:serviceaccounts",
        "system:authenticated",
      ]);
      const as = (...argv: string[]) => weft([...argv, "--kubeconfig", kubeconfig]);
      said(
        await as("stat", "svc", "-n", namespace),
        /you may not see statistics of services: .*nobody/,
        /administrator for: get, list and watch on services\.stats\.weft\.dev/,
      );
      said(
        await as("tap", "deploy/web", "-n", namespace),
        /you may not see live requests of deployments\/web/,
        /administrator for: watch on deployments\.tap/,
      );
      said(await as("edges", "-n", namespace), /you may not see statistics of edges/, /administrator/);
      said(
        await as("install", "--dry-run"),
        /your rights do not suffice for an install: missing create, patch, get on namespaces; /,
        /cluster-admin can/,
      );
      said(
        await as("inject", `ns/${namespace}`, "--yes"),
        /namespaces "weft-test-rights" is forbidden: User .*nobody/,
        /administrator/,
      );
      said(await as("uninstall", "--yes"), /is forbidden: User .*nobody/, /administrator/);
      said(await as("demo", "up", "--yes"), /forbidden/, /administrator/);
      const check = await as("check");
      assert.match(check.stdout, /√ can query the Kubernetes API/);
      assert.match(check.stdout, /- control plane Namespace exists\n {4}not yours to see: /);
      assert.match(check.stdout, /‼ can read statistics\n/);
    });

    it("who may view one namespace only, and tap where that was granted by name", async () => {
      const user = `system:serviceaccount:${namespace}:viewer`;
      await bind("view", "viewer");
      const kubeconfig = await files.as(user, ["system:serviceaccounts", "system:authenticated"]);
      const as = (...argv: string[]) => weft([...argv, "--kubeconfig", kubeconfig]);
      const seen = await eventually("the view of one namespace", 30_000, async () => {
        const ran = await as("stat", "svc", "-n", namespace);
        return ran.code === 0 ? ran : undefined;
      });
      assert.match(seen.stdout, new RegExp(`There are no services in namespace ${namespace}\\.`));
      said(await as("stat", "svc", "-A"), /you may not see statistics of services/, /administrator/);
      said(await as("tap", `ns/${namespace}`), /you may not see live requests/, /administrator/);
      const installed = await as("version");
      assert.equal(installed.code, 0);
      assert.match(installed.stdout, /Server version: unknown: your rights do not reach the control plane/);

      await bind("weft-tap-admin", "viewer");
      await eventually("the right to tap", 30_000, async () => {
        const { stderr } = await as("tap", "deploy/nope", "-n", namespace);
        return /there is no deployments\/nope/.test(stderr) ? true : undefined;
      });
    });

    async function bind(role: string, account: string): Promise<void> {
      await client.create(resource.roleBindings, {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata: { name: role, namespace },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
        subjects: [{ kind: "ServiceAccount", name: account, namespace }],
      });
    }
  });

  it("of a namespace that does not exist", async () => {
    for (const argv of [["stat", "svc"], ["edges"]]) {
      said(
        await weft([...argv, "-n", "weft-test-nowhere"]),
        /there is no namespace weft-test-nowhere/,
        /kubectl get namespaces/,
      );
    }
    said(
      await weft(["tap", "deploy/web", "-n", "weft-test-nowhere"]),
      /there is no deployments\/web in namespace "?weft-test-nowhere/,
    );
  });

  it("of the command line itself", async () => {
    const words = [
      ["frob"],
      ["stat"],
      ["stat", "crd"],
      ["stat", "svc", "--frob"],
      ["stat", "svc", "-t", "soon"],
      ["check", "-o", "xml"],
      ["demo", "sideways"],
    ];
    for (const argv of words) {
      const { code, stdout, stderr } = await weft(argv);
      assert.equal(code, 64, argv.join(" "));
      assert.match(stderr, /^× .+\n {2}Run weft help/);
      assert.equal(stdout, "");
    }
  });

  describe("of a bundle that was tampered with", () => {
    let tampered: string;
    let name: string;

    before(async () => {
      tampered = await freshNamespace(client, "tampered");
      const config = await readMeshConfig(client, "weft");
      name = proxyBundleName(config?.proxy.hash ?? "");
    });
    after(async () => await removeNamespace(client, tampered));

    it("the pod that was admitted with the true one runs no byte of it", async () => {
      const { spec } = await client.create<Pod>(resource.pods, probe("enabled", "probe"), { dryRun: true });
      assert.ok(spec.initContainers?.some((entry) => entry.name === container.proxy));
      await forge();
      // As the kubelet meets it: what the webhook made of the pod, started after the ConfigMap was exchanged.
      await client.create(resource.pods, { ...probe("disabled", "victim"), spec } as Pod);
      const trouble = await eventually("the proxy refuses to start", 60_000, async () => {
        const victim = await client.get<Pod>(resource.pods, "victim", tampered);
        return podTroubles(victim).find((found) => found.container === container.proxy);
      });
      const words = await lastWords(client, tampered, trouble);
      assert.match(
        words,
        /weft loader: .*main\.cjs\.br is not what this pod was admitted with \(SHA-256 [0-9a-f]{64}, expected/,
      );
      const { status } = await client.get<Pod>(resource.pods, "victim", tampered);
      assert.ok(
        status?.containerStatuses?.every(({ state }) => state?.running === undefined),
        "the application waits for its proxy",
      );
    });

    it("no further pod is admitted, and the message says what to do", async () => {
      await forge();
      const made = client.create(resource.pods, probe("enabled", "next"));
      await assert.rejects(
        made,
        new RegExp(`ConfigMap ${tampered}/${name}: main\\.cjs\\.br is not the one .*: delete it`),
      );
    });

    it("weft check finds it", async () => {
      await forge();
      const { code, stdout } = await weft(["check"]);
      assert.equal(code, 1);
      assert.match(
        stdout,
        new RegExp(
          `× bundles in meshed namespaces are unaltered\\n {4}ConfigMap ${tampered}/${name} was altered: main\\.cjs\\.br`,
        ),
      );
      await client.delete(resource.configMaps, name, tampered);
      await client.create(resource.pods, probe("enabled", "healed"));
    });

    /** Puts another program in the place of the proxy's. */
    async function forge(): Promise<void> {
      interface BundleConfigMap extends KubeObject {
        binaryData: Record<string, string>;
      }
      const original = await client.get<BundleConfigMap>(resource.configMaps, name, "weft");
      await client.delete(resource.configMaps, name, tampered);
      await client.create<BundleConfigMap>(resource.configMaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name, namespace: tampered, labels: { ...original.metadata.labels } },
        binaryData: { ...original.binaryData, "main.cjs.br": Buffer.from("evil").toString("base64") },
      });
      // The trust anchors come with the first injected pod; this namespace has had none.
      const roots = await client.get<KubeObject>(resource.configMaps, "linkerd-identity-trust-roots", "weft");
      await client.delete(resource.configMaps, roots.metadata.name, tampered);
      await client.create(resource.configMaps, {
        ...roots,
        metadata: { name: roots.metadata.name, namespace: tampered, labels: { ...roots.metadata.labels } },
      });
    }

    function probe(inject: string, podName: string): Pod {
      return {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: podName, namespace: tampered, annotations: { [annotation.inject]: inject } },
        spec: {
          containers: [
            {
              name: "web",
              image: nodeImage,
              ...{ imagePullPolicy: "IfNotPresent", command: ["node", "-e", "setInterval(() => {}, 1000)"] },
            },
          ],
        },
      };
    }
  });
});

/** One message on stderr, a hint below it, no stack, exit code 1. */
function said({ code, stderr }: Ran, message: RegExp, hint?: RegExp): void {
  assert.match(stderr, message);
  assert.equal(code, 1);
  assert.match(stderr, /^× /);
  assert.doesNotMatch(stderr, /\n {4}at /);
  if (hint !== undefined) assert.match(stderr.split("\n").slice(1).join("\n"), hint);
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
