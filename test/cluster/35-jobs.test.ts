/** Work that ends: its pod ends with it, proxy and all, and its first request finds the mesh ready. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { annotation, container } from "../../runtime/model/names.ts";
import { connectCluster, ensureMesh, eventually, freshNamespace, nodeImage, removeNamespace } from "./support/mesh.ts";

const ENDS_MS = 90_000;
/** Asks the API server, whose certificate it knows, at once: what starts after the proxy can. */
const WORK = `
const { readFileSync } = require("node:fs");
const ca = readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
const request = require("node:https").get(
  { host: process.env.KUBERNETES_SERVICE_HOST, port: process.env.KUBERNETES_SERVICE_PORT, path: "/version", ca },
  (response) => { console.log("answered", response.statusCode); response.resume(); });
request.on("error", (error) => { console.error(error.message); process.exitCode = 1; });`;

interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly state?: { readonly terminated?: { readonly exitCode: number } };
}

interface EndedPod extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

interface Job extends KubeObject {
  readonly status?: { readonly succeeded?: number; readonly failed?: number };
}

describe("work that ends, in the mesh", () => {
  let client: KubeClient;
  let namespace: string;

  before(async () => {
    client = await connectCluster();
    await ensureMesh(client);
    namespace = await freshNamespace(client, "jobs");
  });

  after(async () => {
    await removeNamespace(client, namespace);
    client.transport.close();
  });

  it("ends its pod, and the proxy ends after it and without failure", async () => {
    await client.create(resource.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "once", namespace, annotations: { [annotation.inject]: "enabled" } },
      spec,
    } as KubeObject);
    const pod = await eventually("the pod has ended", ENDS_MS, async () => {
      const found = await client.get<EndedPod>(resource.pods, "once", namespace);
      return ["Succeeded", "Failed"].includes(found.status?.phase ?? "") ? found : undefined;
    });
    assert.equal(pod.status?.phase, "Succeeded");
    assert.deepEqual(
      pod.status?.containerStatuses?.map(({ name, state }) => [name, state?.terminated?.exitCode]),
      [["work", 0]],
    );
    const proxy = pod.status?.initContainerStatuses?.find(({ name }) => name === container.proxy);
    assert.deepEqual([proxy?.state?.terminated?.exitCode, proxy?.restartCount], [0, 0]);
  });

  it("completes a Job, where the cluster has Jobs", async (test) => {
    const job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "once", namespace },
      spec: {
        backoffLimit: 0,
        template: { metadata: { annotations: { [annotation.inject]: "enabled" } }, spec },
      },
    } as KubeObject;
    try {
      await client.create(resource.jobs, job);
    } catch (error) {
      // The sandbox acts on no Jobs, and says so.
      assert.match(String(error), /the sandbox does not serve jobs\.batch/);
      test.diagnostic("on the sandbox: a pod alone");
      return;
    }
    const { status } = await eventually("the Job is over", ENDS_MS, async () => {
      const found = await client.get<Job>(resource.jobs, "once", namespace);
      return (found.status?.succeeded ?? 0) + (found.status?.failed ?? 0) > 0 ? found : undefined;
    });
    assert.deepEqual([status?.succeeded ?? 0, status?.failed ?? 0], [1, 0]);
  });
});

const spec = {
  restartPolicy: "Never",
  containers: [{ name: "work", image: nodeImage, command: ["node", "-e", WORK] }],
};
