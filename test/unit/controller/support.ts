/** Mesh configurations and pods for the controller's tests. */

import type { PatchOperation } from "../../../runtime/controller/injector/patch.ts";
import type { Pod } from "../../../runtime/controller/injector/pod.ts";
import type { MeshConfig } from "../../../runtime/model/mesh-config.ts";
import { DEFAULT_CLUSTER_NETWORKS, DEFAULT_OPAQUE_PORTS } from "../../../runtime/model/ports.ts";

export const mesh: MeshConfig = {
  version: "1.2.3",
  controlPlaneNamespace: "weft",
  trustDomain: "cluster.local",
  clusterDomain: "cluster.local",
  clusterNetworks: DEFAULT_CLUSTER_NETWORKS,
  images: { node: "node:24", init: "iptables:1", pullPolicy: "IfNotPresent" },
  proxy: {
    hash: "0123456789",
    digests: { "main.cjs.br": "00".repeat(32) },
    loader: "start()",
    logLevel: "warn",
    resources: { requests: { cpu: "10m", memory: "20Mi" }, limits: { memory: "128Mi" } },
  },
  defaultInboundPolicy: "all-unauthenticated",
  opaquePorts: DEFAULT_OPAQUE_PORTS,
};

export function pod(parts: { metadata?: Partial<Pod["metadata"]>; spec?: Partial<Pod["spec"]> } = {}): Pod {
  return {
    metadata: { generateName: "web-", ...parts.metadata },
    spec: {
      serviceAccountName: "default",
      containers: [{ name: "app", image: "app:1", ports: [{ name: "http", containerPort: 8080 }] }],
      ...parts.spec,
    },
  };
}

/** Applies `add` operations (RFC 6902), as strictly as an API server: parents must exist. */
export function applyPatch<T>(document: T, operations: readonly PatchOperation[]): T {
  const root = structuredClone(document) as unknown as Record<string, unknown>;
  for (const { op, path, value } of operations) {
    if (op !== "add") throw new Error(`unexpected ${op}`);
    const keys = path
      .split("/")
      .slice(1)
      .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    let at: unknown = root;
    for (const key of keys) {
      at = (at as Record<string, unknown>)[key];
      if (at === undefined || at === null) throw new Error(`${path}: ${key} does not exist`);
    }
    if (!Array.isArray(at)) (at as Record<string, unknown>)[last] = structuredClone(value);
    else if (last === "-") at.push(structuredClone(value));
    else if (Number(last) <= at.length) at.splice(Number(last), 0, structuredClone(value));
    else throw new Error(`${path}: past the end`);
  }
  return root as unknown as T;
}
