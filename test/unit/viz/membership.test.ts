import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Membership, viewEndpointSlice } from "../../../runtime/controller/viz/membership.ts";
import { isLive, viewPod } from "../../../runtime/controller/viz/pod-view.ts";
import type { KubeObject } from "../../../runtime/kube/types.ts";

function slice(name: string, ports: readonly number[], pods: readonly string[], addresses: readonly string[] = []) {
  return viewEndpointSlice({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
    ports: ports.map((port) => ({ port })),
    endpoints: [
      ...pods.map((pod) => ({ addresses: ["10.0.0.1"], targetRef: { kind: "Pod", namespace: "shop", name: pod } })),
      ...addresses.map((address) => ({ addresses: [address] })),
    ],
  });
}

const members = (membership: Membership): Record<string, string[]> =>
  Object.fromEntries([...membership.of("shop/web")].map(([pod, ports]) => [pod, [...ports]]));

describe("the pods behind a service", () => {
  it("come from all its slices, with the target ports of each", () => {
    const membership = new Membership({ podByIp: () => undefined, isRunning: () => true });
    membership.put(slice("a", [8080, 9090], ["web-1", "web-2"]));
    membership.put(slice("b", [8081], ["web-2"]));
    assert.deepEqual(members(membership), { "shop/web-1": ["8080", "9090"], "shop/web-2": ["8080", "9090", "8081"] });
    membership.remove(slice("a", [], []));
    assert.deepEqual(members(membership), { "shop/web-2": ["8081"] });
  });

  it("are found by address where a person wrote the endpoints", () => {
    const pod = viewPod({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "db-0", namespace: "shop" },
      status: { phase: "Running", podIP: "10.0.0.9" },
    } as KubeObject);
    const membership = new Membership({
      podByIp: (ip) => (ip === "10.0.0.9" ? pod : undefined),
      isRunning: () => true,
    });
    membership.put(slice("a", [5432], [], ["10.0.0.9", "192.168.1.1"]));
    assert.deepEqual(members(membership), { "shop/db-0": ["5432"] });
  });

  it("stay its own when they end, as long as there are figures of them; not when they are only taken out", () => {
    const running = new Set(["shop/web-1", "shop/web-2"]);
    const membership = new Membership({ podByIp: () => undefined, isRunning: (pod) => running.has(pod) });
    membership.put(slice("a", [8080], ["web-1", "web-2", "web-3"]));
    running.add("shop/web-3");
    running.delete("shop/web-1");
    membership.put(slice("a", [8080], ["web-2"]));
    assert.deepEqual(Object.keys(members(membership)).sort(), ["shop/web-1", "shop/web-2"]);
    membership.prune((pod) => pod === "shop/web-1");
    assert.deepEqual(Object.keys(members(membership)).sort(), ["shop/web-1", "shop/web-2"]);
    membership.prune(() => false);
    assert.deepEqual(Object.keys(members(membership)), ["shop/web-2"]);
  });
});

describe("a pod, as far as figures need it", () => {
  const pod = (metadata: Partial<KubeObject["metadata"]>, fields: Record<string, unknown> = {}): KubeObject => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-5d8f-x", namespace: "shop", ...metadata },
    ...fields,
  });
  const owner = (kind: string, name: string) => ({ apiVersion: "apps/v1", kind, name, uid: "u", controller: true });

  it("belongs to its Deployment rather than its ReplicaSet", () => {
    const view = viewPod(
      pod({ labels: { "pod-template-hash": "5d8f" }, ownerReferences: [owner("ReplicaSet", "web-5d8f")] }),
    );
    assert.deepEqual(view.workload, { kind: "Deployment", name: "web" });
    assert.equal(view.replicaSet, "web-5d8f");
  });

  it("belongs to a ReplicaSet that no Deployment made, to other owners, or to itself", () => {
    assert.deepEqual(viewPod(pod({ ownerReferences: [owner("ReplicaSet", "bare")] })).workload, {
      kind: "ReplicaSet",
      name: "bare",
    });
    assert.deepEqual(viewPod(pod({ ownerReferences: [owner("StatefulSet", "db")] })).workload, {
      kind: "StatefulSet",
      name: "db",
    });
    assert.deepEqual(viewPod(pod({})).workload, { kind: "Pod", name: "web-5d8f-x" });
  });

  it("has an address of its own only off the host's network, and a proxy that may be ready", () => {
    const status = {
      phase: "Running",
      podIP: "10.0.0.1",
      initContainerStatuses: [{ name: "linkerd-proxy", ready: true }],
    };
    assert.equal(viewPod(pod({}, { status, spec: { hostNetwork: true } })).ip, undefined);
    assert.equal(viewPod(pod({}, { status })).proxyReady, true);
    assert.equal(viewPod(pod({}, { status: { ...status, initContainerStatuses: [] } })).proxyReady, false);
    assert.equal(isLive(viewPod(pod({ deletionTimestamp: "2026-01-01T00:00:00Z" }, { status }))), false);
    assert.equal(isLive(viewPod(pod({}, { status: { phase: "Succeeded" } }))), false);
  });
});
