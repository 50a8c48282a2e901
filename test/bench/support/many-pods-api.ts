/** An API server of one's own making that knows 10,000 pods: lists in pages, watches, and the few writes a controller makes. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Item = Record<string, unknown> & { metadata: Record<string, unknown> & { name: string; namespace?: string } };

const PODS_PER_SERVICE = 20;
/** What kubectl get pod -o json shows of a pod's managedFields, roughly. */
const MANAGED_FIELDS = [
  { manager: "kubelet", operation: "Update", apiVersion: "v1", fieldsV1: { filler: "f".repeat(2_500) } },
];

export interface ManyPodsApi {
  readonly url: string;
  readonly services: readonly string[];
  /** Replaces a Service's only endpoint slice by the first `count` of its pods. */
  resize(service: string, count: number): void;
  close(): void;
}

export async function startManyPodsApi(pods: number): Promise<ManyPodsApi> {
  const collections = new Map<string, Map<string, Item>>();
  const watchers = new Map<string, Set<ServerResponse>>();
  let version = 1_000;
  const collection = (path: string): Map<string, Item> => {
    const found = collections.get(path) ?? new Map<string, Item>();
    collections.set(path, found);
    return found;
  };
  const put = (path: string, item: Item, type: "ADDED" | "MODIFIED"): void => {
    version++;
    item.metadata["resourceVersion"] = String(version);
    collection(path).set(`${item.metadata.namespace ?? ""}/${item.metadata.name}`, item);
    const line = `${JSON.stringify({ type, object: item })}\n`;
    for (const response of watchers.get(path) ?? []) response.write(line);
  };

  const services: string[] = [];
  const node = (at: number): string => `node-${at % 100}`;
  for (let at = 0; at < 100; at++) {
    put(
      "/api/v1/nodes",
      { metadata: { name: node(at), labels: { "topology.kubernetes.io/zone": `zone-${at % 3}` } } },
      "ADDED",
    );
  }
  for (let at = 0; at < pods; at++) {
    const index = Math.floor(at / PODS_PER_SERVICE);
    const namespace = `ns-${index % 50}`;
    const service = `svc-${index}`;
    if (at % PODS_PER_SERVICE === 0) {
      services.push(`${namespace}/${service}`);
      if (index < 50) put("/api/v1/namespaces", { metadata: { name: namespace, uid: namespace } }, "ADDED");
      put(
        "/api/v1/services",
        {
          metadata: { name: service, namespace, managedFields: MANAGED_FIELDS },
          spec: { clusterIP: `10.96.${index >> 8}.${index & 255}`, ports: [{ port: 80, targetPort: 8080 }] },
        },
        "ADDED",
      );
    }
    put("/api/v1/pods", pod(namespace, service, at, node(at)), "ADDED");
  }
  const slice = (key: string, count: number): Item => {
    const [namespace = "", service = ""] = key.split("/");
    const first = Number(service.slice(4)) * PODS_PER_SERVICE;
    return {
      metadata: { name: `${service}-a`, namespace, labels: { "kubernetes.io/service-name": service } },
      addressType: "IPv4",
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
      endpoints: Array.from({ length: count }, (_, at) => ({
        addresses: [podIp(first + at)],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: node(first + at),
        targetRef: { kind: "Pod", namespace, name: `${service}-${first + at}` },
      })),
    };
  };
  const SLICES = "/apis/discovery.k8s.io/v1/endpointslices";
  for (const key of services) put(SLICES, slice(key, PODS_PER_SERVICE), "ADDED");

  const server = createServer((request, response) => {
    void handle(request, response);
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://api");
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const [, root = "", namespace, plural = "", name] =
      /^(.*?)(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([a-z][^/]*))?$/.exec(url.pathname) ?? [];
    const path = `${root}/${plural}`;
    const items = collection(path);
    if (request.method !== "GET") {
      const item = JSON.parse(Buffer.concat(chunks).toString()) as Item;
      const existed = items.has(`${namespace ?? ""}/${item.metadata.name}`);
      item.metadata["uid"] = item.metadata.name;
      if (namespace !== undefined) item.metadata.namespace = namespace;
      put(path, item, existed ? "MODIFIED" : "ADDED");
      return answer(200, item);
    }
    if (name !== undefined && items.has(`${namespace ?? ""}/${name}`))
      return answer(200, items.get(`${namespace ?? ""}/${name}`));
    const wanted = /metadata\.name=(.+)/.exec(url.searchParams.get("fieldSelector") ?? "")?.[1];
    if (name !== undefined)
      return answer(404, { kind: "Status", code: 404, reason: "NotFound", message: `no ${name}` });
    if (url.searchParams.get("watch") === "true") {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      const open = watchers.get(path) ?? new Set<ServerResponse>();
      watchers.set(path, open.add(response));
      response.once("close", () => open.delete(response));
      return;
    }
    const all = [...items.values()].filter(
      ({ metadata }) =>
        (namespace === undefined || metadata.namespace === namespace) &&
        (wanted === undefined || metadata.name === wanted),
    );
    const limit = Number(url.searchParams.get("limit") ?? all.length);
    const offset = Number(url.searchParams.get("continue") ?? 0);
    const next = offset + limit < all.length ? String(offset + limit) : undefined;
    answer(200, {
      metadata: { resourceVersion: String(version), continue: next },
      items: all.slice(offset, offset + limit),
    });
  }

  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    services,
    resize: (key, count) => put(SLICES, slice(key, count), "MODIFIED"),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function podIp(at: number): string {
  return `10.${100 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;
}

function pod(namespace: string, service: string, at: number, nodeName: string): Item {
  const env = Array.from({ length: 20 }, (_, index) => ({ name: `SETTING_${index}`, value: "v".repeat(40) }));
  return {
    metadata: {
      name: `${service}-${at}`,
      namespace,
      uid: `pod-${at}`,
      labels: {
        app: service,
        "pod-template-hash": "5d9f7c",
        "linkerd.io/control-plane-ns": "weft",
        "linkerd.io/proxy-deployment": service,
      },
      annotations: { "linkerd.io/inject": "enabled", "weft.dev/redirect-rules": "r".repeat(900) },
      ownerReferences: [
        { apiVersion: "apps/v1", kind: "ReplicaSet", name: `${service}-5d9f7c`, uid: "1", controller: true },
      ],
      managedFields: MANAGED_FIELDS,
    },
    spec: {
      serviceAccountName: "default",
      nodeName,
      initContainers: [
        {
          name: "linkerd-proxy",
          restartPolicy: "Always",
          env: [...env, { name: "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", value: "0.0.0.0:4143" }],
          ports: [{ name: "linkerd-proxy", containerPort: 4143 }],
        },
      ],
      containers: [
        {
          name: "app",
          image: "example/app:1",
          env,
          ports: [{ name: "http", containerPort: 8080 }],
          readinessProbe: { httpGet: { path: "/ready", port: "http" } },
        },
      ],
    },
    status: { phase: "Running", podIP: podIp(at), podIPs: [{ ip: podIp(at) }], hostIP: "192.168.0.1" },
  };
}
