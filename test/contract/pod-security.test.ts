import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import { type Answer, type Cluster, connect, type Json } from "./support/cluster.ts";

describe("Pod Security labels of a namespace", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  async function level(enforce: string, warn = "privileged"): Promise<void> {
    const labels = { "pod-security.kubernetes.io/enforce": enforce, "pod-security.kubernetes.io/warn": warn };
    await cluster.client.patch(resource.namespaces, cluster.namespace, undefined, { metadata: { labels } });
  }
  const pod = (spec: Json): Promise<Answer> =>
    cluster.ask("POST", `/api/v1/namespaces/${cluster.namespace}/pods`, {
      query: { dryRun: "All" },
      body: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "p", namespace: cluster.namespace },
        spec: { containers: [{ name: "a", image: "x", ...careful }], ...spec },
      },
    });
  const careful = {
    securityContext: {
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
  const netAdmin = {
    initContainers: [
      {
        name: "linkerd-init",
        image: "x",
        securityContext: { ...careful.securityContext, capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] } },
      },
    ],
  };

  it("privileged: anything goes", async () => {
    await level("privileged");
    assert.equal((await pod({ hostNetwork: true, ...netAdmin })).status, 201);
  });

  it("baseline: no host namespaces, no capabilities beyond the usual, no privileged containers", async () => {
    await level("baseline");
    assert.equal((await pod({})).status, 201);
    const capable = await pod(netAdmin);
    assert.equal(capable.status, 403);
    assert.equal(
      capable.body.message,
      'pods "p" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container "linkerd-init" must not include "NET_ADMIN", "NET_RAW" in securityContext.capabilities.add)',
    );
    const host = await pod({ hostNetwork: true });
    assert.match(host.body.message, /violates PodSecurity "baseline:latest": host namespaces \(hostNetwork=true\)/);
    const privileged = await pod({ containers: [{ name: "a", image: "x", securityContext: { privileged: true } }] });
    assert.match(privileged.body.message, /privileged \(container "a" must not set securityContext.privileged=true\)/);
    const path = await pod({ volumes: [{ name: "v", hostPath: { path: "/" } }] });
    assert.match(path.body.message, /hostPath volumes \(volume "v"\)/);
  });

  it("restricted: only the careful", async () => {
    await level("restricted");
    assert.equal((await pod({})).status, 201);
    const careless = await pod({
      containers: [
        { name: "a", image: "x" },
        { name: "b", image: "x", ...careful },
      ],
    });
    assert.equal(
      careless.body.message,
      'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    );
    const capable = await pod(netAdmin);
    assert.match(
      capable.body.message,
      /unrestricted capabilities \(container "linkerd-init" must not include "NET_ADMIN", "NET_RAW" in securityContext.capabilities.add\)/,
    );
    const root = await pod({
      containers: [{ name: "a", image: "x", securityContext: { ...careful.securityContext, runAsUser: 0 } }],
    });
    assert.match(root.body.message, /runAsUser=0 \(container "a" must not set runAsUser=0\)/);
  });

  it("warn of what they let pass", async () => {
    await level("privileged", "baseline");
    const warned = await pod({ hostNetwork: true });
    assert.equal(warned.status, 201);
    assert.match(
      warned.headers["warning"] ?? "",
      /would violate PodSecurity \\"baseline:latest\\": host namespaces \(hostNetwork=true\)/,
    );
  });

  it("and quotas count pods", async () => {
    await level("privileged");
    await cluster.ask("POST", `/api/v1/namespaces/${cluster.namespace}/resourcequotas`, {
      body: { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "none" }, spec: { hard: { pods: "0" } } },
    });
    for (let tries = 0; ; tries++) {
      const refused = await pod({});
      if (refused.status === 201 && tries < 100) continue;
      assert.equal(refused.status, 403);
      assert.equal(
        refused.body.message,
        'pods "p" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0',
      );
      break;
    }
  });
});
