/** Registers the sandbox's nodes and keeps their Leases fresh. */
import { cpus, release, totalmem } from "node:os";
import { resource } from "../../kube/resources.ts";
import { VERSION } from "../api/discovery.ts";
import { type Fields, microTimestamp, type StoredObject, timestamp } from "../api/object.ts";
import type { NodeNetwork } from "../seam.ts";
import type { Controller, ControllerContext } from "./queue.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const LEASE_SECONDS = 40;
const HEARTBEAT_MS = 10_000;
const MAX_PODS = 110;

export function startNodes({ api, report }: ControllerContext, network: NodeNetwork): Controller {
  for (const node of network.nodes) {
    const made = api.create<StoredObject>(resource.nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: node.name,
        labels: {
          "kubernetes.io/hostname": node.name,
          "kubernetes.io/os": "linux",
          "kubernetes.io/arch": architecture(),
        },
      },
      spec: { podCIDR: node.podCidr, podCIDRs: [node.podCidr] },
      status: nodeStatus(node.name, node.address),
    });
    api.create(resource.leases, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        name: node.name,
        namespace: LEASE_NAMESPACE,
        ownerReferences: [{ apiVersion: "v1", kind: "Node", name: node.name, uid: made.metadata.uid ?? "" }],
      },
      spec: { holderIdentity: node.name, leaseDurationSeconds: LEASE_SECONDS, renewTime: microTimestamp() },
    });
  }
  const heartbeat = setInterval(() => {
    try {
      for (const { name } of network.nodes) renew(name);
    } catch (error) {
      report(error);
    }
  }, HEARTBEAT_MS);

  function renew(name: string): void {
    if (api.get(resource.leases, name, LEASE_NAMESPACE) === undefined) return;
    api.update<StoredObject>(resource.leases, name, LEASE_NAMESPACE, (lease) => {
      lease["spec"] = { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime: microTimestamp() };
    });
  }

  return { stop: () => clearInterval(heartbeat) };
}

function nodeStatus(name: string, address: string): Fields {
  const now = timestamp();
  const condition = (type: string, status: string, reason: string, message: string): Fields => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  });
  const amounts = { cpu: String(cpus().length), memory: `${Math.floor(totalmem() / 1024)}Ki`, pods: String(MAX_PODS) };
  return {
    addresses: [
      { type: "InternalIP", address },
      { type: "Hostname", address: name },
    ],
    capacity: amounts,
    allocatable: amounts,
    conditions: [
      condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
      condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
      condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
      condition("Ready", "True", "KubeletReady", "the sandbox runs pods as processes"),
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    nodeInfo: {
      architecture: architecture(),
      operatingSystem: "linux",
      kernelVersion: release(),
      osImage: "Weft sandbox",
      containerRuntimeVersion: "weft-sandbox://1",
      kubeletVersion: VERSION.gitVersion,
      kubeProxyVersion: "",
      machineID: "",
      systemUUID: "",
      bootID: "",
    },
  };
}

function architecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}
