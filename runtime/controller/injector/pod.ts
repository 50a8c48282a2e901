/** A pod as the injector reads it, before it exists: name and namespace may be missing, defaults may not be set yet. */
import type { OwnerReference } from "../../kube/types.ts";

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: string;
  readonly hostPort?: number;
}

export interface Probe {
  readonly httpGet?: { readonly path?: string; readonly port: number | string; readonly scheme?: string };
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: unknown;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly ports?: readonly ContainerPort[];
  readonly env?: readonly EnvVar[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly restartPolicy?: string;
}

export interface Pod {
  readonly metadata: {
    readonly name?: string;
    readonly generateName?: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
  };
  readonly spec: {
    readonly hostNetwork?: boolean;
    readonly automountServiceAccountToken?: boolean;
    readonly serviceAccountName?: string;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly volumes?: readonly { readonly name: string }[];
  };
}

export type Annotations = Readonly<Record<string, string>>;

/** Containers that run beside each other: the application's, and sidecars declared among init containers. */
export function runningContainers(pod: Pod): Container[] {
  const sidecars = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...pod.spec.containers, ...sidecars];
}

export function tcpPorts(container: Container): ContainerPort[] {
  return (container.ports ?? []).filter(({ protocol }) => protocol === undefined || protocol === "TCP");
}

/** For messages: the name, or what it will begin with. */
export function describePod(pod: Pod): string {
  return pod.metadata.name ?? (pod.metadata.generateName === undefined ? "(unnamed)" : `${pod.metadata.generateName}*`);
}
