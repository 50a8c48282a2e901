/** Whatever cluster KUBECONFIG names: a real one or the sandbox. Tests ask it over HTTP, so that every word counts. */
import { setTimeout as sleep } from "node:timers/promises";
import { createKubeClient } from "../../../runtime/kube/client.ts";
import { type ResolvedContext, resolveContext } from "../../../runtime/kube/contexts.ts";
import { loadKubeconfig } from "../../../runtime/kube/kubeconfig.ts";
import { kubeconfigTransport } from "../../../runtime/kube/kubeconfig-transport.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject, KubeRequest, KubeTransport } from "../../../runtime/kube/types.ts";

export type Json = Record<string, unknown>;

/** An answer, whatever its status. `body` is the JSON, or `{text}`. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of any kind
  readonly body: any;
}

export interface Cluster {
  readonly client: KubeClient;
  readonly transport: KubeTransport;
  /** A namespace that goes when the test file ends. */
  readonly namespace: string;
  ask(method: KubeRequest["method"], path: string, options?: Partial<KubeRequest>): Promise<Answer>;
  close(): Promise<void>;
}

let context: ResolvedContext | undefined;

export async function resolvedContext(): Promise<ResolvedContext> {
  context ??= resolveContext(await loadKubeconfig());
  return context;
}

/** @param labels of the namespace */
export async function connect(labels: Record<string, string> = {}): Promise<Cluster> {
  const transport = kubeconfigTransport(await resolvedContext());
  const client = createKubeClient(transport);
  const made = await client.create(resource.namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "", generateName: "weft-contract-", labels },
  });
  const namespace = made.metadata.name;
  await eventually("the namespace's service account", async () =>
    client.find(resource.serviceAccounts, "default", namespace),
  );
  return {
    client,
    transport,
    namespace,
    ask: (method, path, options) => ask(transport, method, path, options),
    async close() {
      await client.delete(resource.namespaces, namespace);
      transport.close();
    },
  };
}

export async function ask(
  transport: KubeTransport,
  method: KubeRequest["method"],
  path: string,
  options: Partial<KubeRequest> = {},
): Promise<Answer> {
  const stream = await transport.open({ ...options, method, path });
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.body) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  return { status: stream.status, headers: stream.headers, body: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { text };
  }
}

/** Asks again until there is something. */
export async function eventually<T>(
  what: string,
  find: () => Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const found = await find();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > until) throw new Error(`gave up waiting for ${what}`);
    await sleep(50);
  }
}

export function configMap(
  namespace: string,
  name: string,
  data: Record<string, string> = {},
  metadata: Json = {},
): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { ...metadata, name, namespace }, data };
}

/** Nobody runs its pods: there are none. */
export function deployment(namespace: string, name: string, spec: Json = {}): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "main", image: "docker.io/library/node:24-slim" }] },
      },
      ...spec,
    },
  };
}

export const applyHeaders = { "content-type": "application/apply-patch+yaml" };
