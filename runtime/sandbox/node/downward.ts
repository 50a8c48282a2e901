/** What a pod may learn of itself (the downward API): fields of its object, and its containers' resources. */
import { availableParallelism, totalmem } from "node:os";
import { parseQuantity } from "../quantity.ts";
import type { Container, DownwardItem, FieldRef, Pod, ResourceFieldRef } from "./pod-types.ts";

/** What only the node knows. */
export interface PodPlace {
  readonly podAddress: string;
  readonly hostAddress: string;
}

/**
 * @param place absent for volumes: their files do not depend on it
 * @returns the field as text; undefined for a path the kubelet does not know
 */
export function podField(pod: Pod, { fieldPath }: FieldRef, place?: PodPlace): string | undefined {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (subscript !== null) return metadata[subscript[1] as "labels" | "annotations"]?.[subscript[2] ?? ""] ?? "";
  switch (fieldPath) {
    case "metadata.name":
      return metadata.name;
    case "metadata.namespace":
      return metadata.namespace;
    case "metadata.uid":
      return metadata.uid;
    case "metadata.labels":
      return formatMap(metadata.labels);
    case "metadata.annotations":
      return formatMap(metadata.annotations);
    case "spec.nodeName":
      return spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec.serviceAccountName ?? "default";
    case "status.podIP":
    case "status.podIPs":
      return place?.podAddress;
    case "status.hostIP":
    case "status.hostIPs":
      return place?.hostAddress;
    default:
      return undefined;
  }
}

/** Sorted lines `key="value"`, the value quoted as Go does. */
function formatMap(map: Readonly<Record<string, string>> = {}): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** In multiples of the divisor, rounded up; without a limit: what the machine has. */
export function resourceField(container: Container, { resource, divisor = 1 }: ResourceFieldRef): string | undefined {
  const match = /^(requests|limits)\.(cpu|memory|ephemeral-storage)$/.exec(resource);
  if (match === null) return undefined;
  const [, kind, name = ""] = match;
  const declared = container.resources?.[kind as "requests" | "limits"]?.[name];
  const machine: Readonly<Record<string, number>> = { cpu: availableParallelism(), memory: totalmem() };
  const amount = declared !== undefined ? parseQuantity(declared) : kind === "limits" ? (machine[name] ?? 0) : 0;
  const unit = parseQuantity(divisor) || 1;
  // A thousandth absorbs what binary fractions lose: 250m in units of 1m is 250, not 251.
  return String(Math.ceil(amount / unit - 1e-6));
}

/** A file of a downwardAPI volume. @throws Error naming the field that is not known */
export function downwardFile(pod: Pod, item: DownwardItem): string {
  if (item.fieldRef !== undefined) {
    const value = podField(pod, item.fieldRef);
    if (value !== undefined) return value;
    throw new Error(`unsupported fieldPath in a volume: ${item.fieldRef.fieldPath}`);
  }
  const { resourceFieldRef } = item;
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const container = all.find(({ name }) => name === resourceFieldRef?.containerName);
  const value = container && resourceFieldRef && resourceField(container, resourceFieldRef);
  if (value !== undefined) return value;
  throw new Error(`file ${item.path} names no field: set fieldRef, or resourceFieldRef with containerName`);
}
