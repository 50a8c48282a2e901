import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import type { DestinationProfile, Update, WeightedAddr } from "../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import type { Server } from "../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { OutboundPolicy } from "../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import {
  DestinationClient,
  InboundServerPoliciesClient,
  OutboundPoliciesClient,
} from "../../runtime/api/service-clients.ts";
import { fromIpAddress, toTcpAddress } from "../../runtime/controller/destination/addresses.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { workloadIdentity } from "../../runtime/model/identity.ts";
import { clusterClient, createNamespace, eventually } from "./support/cluster.ts";
import {
  channelOptions,
  meshCredentials,
  startTestController,
  type TestController,
} from "./support/test-controller.ts";

/** Everything a stream has said, and how it ended. */
class Heard<T> {
  readonly messages: T[] = [];
  error: ServiceError | undefined;
  readonly #stream: ClientReadableStream<T>;

  constructor(stream: ClientReadableStream<T>) {
    this.#stream = stream;
    stream.on("data", (message: T) => this.messages.push(message));
    stream.on("error", (error: ServiceError) => {
      this.error = error;
    });
  }

  async next(predicate: (message: T) => boolean, withinMs = 5_000): Promise<T> {
    return await eventually(() => this.messages.findLast(predicate), withinMs);
  }

  async failure(): Promise<ServiceError> {
    return await eventually(() => this.error);
  }

  cancel(): void {
    this.#stream.on("error", () => {});
    this.#stream.cancel();
  }
}

/** What a proxy would have after these updates: `ip:port` → address. */
function endpoints(updates: readonly Update[]): Map<string, WeightedAddr> {
  const known = new Map<string, WeightedAddr>();
  for (const { update } of updates) {
    if (update?.$case === "add") {
      for (const address of update.value.addrs) known.set(textOf(address.addr), address);
    } else if (update?.$case === "remove") {
      for (const address of update.value.addrs) known.delete(textOf(address));
    } else {
      known.clear();
    }
  }
  return known;
}

function textOf(address: WeightedAddr["addr"]): string {
  return `${fromIpAddress(address?.ip)}:${address?.port}`;
}

describe("discovery and policy, on a real API server", () => {
  let client: KubeClient;
  let test: TestController;
  let namespace: string;
  let destination: DestinationClient;
  let inbound: InboundServerPoliciesClient;
  let outbound: OutboundPoliciesClient;
  const open: Heard<never>[] = [];

  const hear = <T>(stream: ClientReadableStream<T>): Heard<T> => {
    const heard = new Heard(stream);
    open.push(heard as unknown as Heard<never>);
    return heard;
  };
  const get = (path: string): Heard<Update> => hear(destination.get({ scheme: "k8s", path, contextToken: "" }));
  const profile = (path: string): Heard<DestinationProfile> =>
    hear(destination.getProfile({ scheme: "k8s", path, contextToken: "" }));
  const watchPort = (workload: string, port: number): Heard<Server> => hear(inbound.watchPort({ workload, port }));
  const watchAddress = (ip: string, port: number): Heard<OutboundPolicy> =>
    hear(outbound.watch({ sourceWorkload: "", target: { $case: "addr", value: toTcpAddress(ip, port) } }));
  const fqdn = (name: string): string => `${name}.${namespace}.svc.cluster.local`;

  async function service(name: string, spec: Record<string, unknown>, annotations = {}): Promise<string> {
    const made = await client.create<KubeObject & { spec: { clusterIP?: string } }>(resource.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace, annotations },
      spec,
    });
    return made.spec.clusterIP ?? "";
  }

  async function slice(name: string, of: string, ports: unknown[], entries: unknown[]): Promise<void> {
    await client.apply<KubeObject>(
      resource.endpointSlices,
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, namespace, labels: { "kubernetes.io/service-name": of } },
        addressType: "IPv4",
        ports,
        endpoints: entries,
      },
      { fieldManager: "test", force: true },
    );
  }

  /** A pod that no scheduler touches, with the status that the test gives it. */
  async function pod(
    name: string,
    ip: string,
    options: { meshed?: boolean; annotations?: Record<string, string> } = {},
  ): Promise<void> {
    const { meshed = true, annotations = {} } = options;
    const proxy = {
      name: "linkerd-proxy",
      image: "weft.invalid/none",
      restartPolicy: "Always",
      env: [{ name: "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", value: "0.0.0.0:4999" }],
    };
    const labels: Record<string, string> = meshed
      ? { "linkerd.io/control-plane-ns": test.namespace, "linkerd.io/proxy-deployment": "web" }
      : {};
    await client.create<KubeObject>(resource.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels, annotations },
      spec: {
        schedulerName: "nobody",
        initContainers: meshed ? [proxy] : [],
        containers: [
          {
            name: "app",
            image: "weft.invalid/none",
            ports: [{ name: "http", containerPort: 8080 }],
            readinessProbe: { httpGet: { path: "/ready?full=1", port: "http" } },
            livenessProbe: { httpGet: { path: "/live", port: 8080 } },
          },
        ],
      },
    });
    await client.patch(
      resource.pods,
      name,
      namespace,
      { status: { phase: "Running", podIP: ip, podIPs: [{ ip }] } },
      { subresource: "status" },
    );
  }

  before(async () => {
    client = await clusterClient();
    test = await startTestController(client);
    namespace = await createNamespace(client, "weft-disco");
    const credentials = await meshCredentials(test);
    const options = channelOptions(test);
    const { ports } = test.controller;
    destination = new DestinationClient(`127.0.0.1:${ports.destination}`, credentials, options);
    inbound = new InboundServerPoliciesClient(`127.0.0.1:${ports.policy}`, credentials, options);
    outbound = new OutboundPoliciesClient(`127.0.0.1:${ports.policy}`, credentials, options);
  });
  after(async () => {
    for (const heard of open) heard.cancel();
    for (const channel of [destination, inbound, outbound]) channel.close();
    await test.stop();
    await client.delete(resource.namespaces, namespace);
    await client.delete(resource.namespaces, test.namespace);
    client.transport.close();
  });

  it("follows EndpointSlices within a second, by named target ports, without those not ready", async () => {
    await service("web", { ports: [{ name: "http", port: 80, targetPort: "http" }] });
    const heard = await eventually(async () => {
      const attempt = get(`${fqdn("web")}:80`);
      await eventually(() => attempt.messages.length > 0 || attempt.error !== undefined || undefined);
      return attempt.error === undefined ? attempt : undefined;
    });
    assert.deepEqual(heard.messages[0]?.update, { $case: "noEndpoints", value: { exists: true } });

    const ports = [{ name: "http", port: 8080, protocol: "TCP" }];
    const ready = { conditions: { ready: true } };
    await slice("web-1", "web", ports, [
      { addresses: ["10.1.0.1"], ...ready },
      { addresses: ["10.1.0.2"], conditions: { ready: false } },
    ]);
    await eventually(() => endpoints(heard.messages).has("10.1.0.1:8080") || undefined, 1_000);
    assert.deepEqual([...endpoints(heard.messages).keys()], ["10.1.0.1:8080"]);
    const [first] = heard.messages.slice(-1);
    assert.equal(first?.update?.$case === "add" && first.update.value.metricLabels["service"], "web");

    const before = heard.messages.length;
    const changedAt = Date.now();
    await slice("web-1", "web", ports, [{ addresses: ["10.1.0.2"], ...ready }]);
    await eventually(() => endpoints(heard.messages).has("10.1.0.2:8080") || undefined, 1_000);
    assert.ok(Date.now() - changedAt < 1_000);
    assert.deepEqual([...endpoints(heard.messages).keys()], ["10.1.0.2:8080"]);
    // New endpoints come before old ones go.
    assert.deepEqual(
      heard.messages.slice(before).map(({ update }) => update?.$case),
      ["add", "remove"],
    );

    await slice("web-1", "web", ports, [
      { addresses: ["10.1.0.3"], conditions: { ready: false, serving: true, terminating: true } },
    ]);
    await eventually(() => endpoints(heard.messages).has("10.1.0.3:8080") || undefined, 1_000);

    await slice("web-1", "web", ports, []);
    await heard.next(({ update }) => update?.$case === "noEndpoints" && update.value.exists, 1_000);
    await client.delete(resource.services, "web", namespace);
    await heard.next(({ update }) => update?.$case === "noEndpoints" && !update.value.exists, 1_000);
  });

  it("tells a meshed pod's identity, its proxy's port and its labels, and waits for a pod that comes after its slice", async () => {
    await service("mesh", { ports: [{ port: 80, targetPort: 8080 }] });
    const target = (name: string): unknown => ({ targetRef: { kind: "Pod", namespace, name } });
    const entry = (name: string, ip: string): unknown => ({
      addresses: [ip],
      conditions: { ready: true },
      ...(target(name) as object),
    });
    const ports = [{ name: "", port: 8080, protocol: "TCP" }];
    await slice("mesh-1", "mesh", ports, [entry("meshed", "10.1.1.1"), entry("plain", "10.1.1.2")]);
    const heard = await eventually(async () => {
      const attempt = get(`${fqdn("mesh")}:80`);
      await eventually(() => attempt.messages.length > 0 || attempt.error !== undefined || undefined);
      return attempt.error === undefined ? attempt : undefined;
    });
    assert.deepEqual([...endpoints(heard.messages).keys()], []);
    await pod("plain", "10.1.1.2", { meshed: false });
    await pod("meshed", "10.1.1.1");
    const known = await eventually(() => {
      const found = endpoints(heard.messages);
      return found.size === 2 ? found : undefined;
    }, 2_000);
    const meshed = known.get("10.1.1.1:8080");
    const name = workloadIdentity(test.mesh, namespace, "default");
    assert.deepEqual(meshed?.tlsIdentity, {
      strategy: { $case: "dnsLikeIdentity", value: { name } },
      serverName: { name },
    });
    assert.deepEqual(meshed?.protocolHint, {
      protocol: { $case: "h2", value: {} },
      opaqueTransport: { inboundPort: 4999 },
    });
    assert.deepEqual(meshed?.http2?.keepAlive, {
      interval: { seconds: 10n, nanos: 0 },
      timeout: { seconds: 3n, nanos: 0 },
      whileIdle: true,
    });
    assert.deepEqual(meshed?.metricLabels, {
      pod: "meshed",
      serviceaccount: "default",
      deployment: "web",
      control_plane_ns: test.namespace,
      zone: "",
      zone_locality: "unknown",
    });
    assert.equal(known.get("10.1.1.2:8080")?.tlsIdentity, undefined);
  });

  it("finds one pod of a headless Service by its name", async () => {
    await service("db", { clusterIP: "None", ports: [{ name: "sql", port: 5432 }] });
    const entry = (hostname: string, ip: string): unknown => ({
      addresses: [ip],
      hostname,
      conditions: { ready: true },
    });
    const ports = [{ name: "sql", port: 5432, protocol: "TCP" }];
    await slice("db-1", "db", ports, [entry("db-0", "10.1.5.1"), entry("db-1", "10.1.5.2")]);
    const addresses = async (path: string): Promise<string[]> =>
      await eventually(async () => {
        const heard = get(path);
        const first = await heard.next(() => true).catch(() => undefined);
        const found = first === undefined ? [] : [...endpoints(heard.messages).keys()];
        return found.length === 0 ? undefined : found.sort();
      });
    assert.deepEqual(await addresses(`${fqdn("db")}:5432`), ["10.1.5.1:5432", "10.1.5.2:5432"]);
    assert.deepEqual(await addresses(`db-1.${fqdn("db")}:5432`), ["10.1.5.2:5432"]);
    assert.deepEqual((await get(`db-9.${fqdn("db")}:5432`).next(() => true)).update, {
      $case: "noEndpoints",
      value: { exists: true },
    });
  });

  it("refuses what is no Service: foreign names, IP addresses, ExternalName; NOT_FOUND for missing ones", async () => {
    await service("outside", { type: "ExternalName", externalName: "example.com" });
    await eventually(
      async () => (await get(`${fqdn("outside")}:80`).failure()).code === status.INVALID_ARGUMENT || undefined,
    );
    assert.equal((await get("example.com:80").failure()).code, status.INVALID_ARGUMENT);
    assert.equal((await get("10.1.2.3:80").failure()).code, status.INVALID_ARGUMENT);
    assert.equal((await get("not a name").failure()).code, status.INVALID_ARGUMENT);
    assert.equal((await get(`${fqdn("none")}:80`).failure()).code, status.NOT_FOUND);
  });

  it("knows Services by ClusterIP, pods by address, and lets annotations make ports opaque", async () => {
    const ip = await service("store", {
      ports: [{ port: 6379 }, { name: "api", port: 7000 }].map((p, i) => ({ name: `p${i}`, ...p })),
    });
    const opaque = profile(`${ip}:6379`);
    await opaque.next((message) => message.fullyQualifiedName === fqdn("store") && message.opaqueProtocol);
    const plain = profile(`${ip}:7000`);
    const first = await plain.next((message) => message.fullyQualifiedName !== "");
    assert.equal(first.opaqueProtocol, false);
    assert.deepEqual(first.parentRef?.kind, {
      $case: "resource",
      value: { group: "core", kind: "Service", name: "store", namespace, section: "", port: 7000 },
    });
    await client.patch(resource.services, "store", namespace, {
      metadata: { annotations: { "config.linkerd.io/opaque-ports": "7000" } },
    });
    await plain.next((message) => message.opaqueProtocol, 1_000);
    await opaque.next((message) => !message.opaqueProtocol, 1_000);

    const undeclared = await profile(`${ip}:1`).next(() => true);
    assert.equal(undeclared.fullyQualifiedName, "");

    await pod("alone", "10.1.3.1");
    const found = await eventually(async () => {
      const { endpoint } = await profile("10.1.3.1:8080").next(() => true);
      return endpoint?.tlsIdentity === undefined ? undefined : endpoint;
    });
    assert.equal(textOf(found.addr), "10.1.3.1:8080");
    // The proxy's own ports are not redirected: nobody answers TLS there.
    const admin = await profile("10.1.3.1:4191").next(() => true);
    assert.equal(admin.endpoint?.tlsIdentity, undefined);

    const nobody = profile("10.99.99.99:80");
    assert.equal(textOf((await nobody.next(() => true)).endpoint?.addr), "10.99.99.99:80");
    await pod("late", "10.99.99.99");
    await nobody.next(({ endpoint }) => endpoint?.tlsIdentity !== undefined, 2_000);
  });

  it("serves the default outbound policy of a Service, an address, an undeclared port", async () => {
    const ip = await service("policy", {
      ports: [
        { name: "plain", port: 80 },
        { name: "declared", port: 81, appProtocol: "http" },
        { name: "h2c", port: 82, appProtocol: "kubernetes.io/h2c" },
        { name: "raw", port: 83, appProtocol: "linkerd.io/opaque" },
      ],
    });
    const detect = watchAddress(ip, 80);
    const first = await detect.next(({ metadata }) => metadata?.kind?.$case === "resource");
    const kind = first.protocol?.kind;
    assert.ok(kind?.$case === "detect");
    const rule = kind.value.http1?.routes[0]?.rules[0];
    assert.deepEqual(rule?.matches[0]?.path?.kind, { $case: "prefix", value: "/" });
    const distribution = rule?.backends?.kind;
    assert.ok(distribution?.$case === "firstAvailable");
    const backend = distribution.value.backends[0]?.backend;
    assert.ok(backend?.kind?.$case === "balancer");
    assert.deepEqual(backend.kind.value.discovery?.kind, { $case: "dst", value: { path: `${fqdn("policy")}:80` } });
    assert.deepEqual(backend.kind.value.load, {
      $case: "peakEwma",
      value: { defaultRtt: { seconds: 0n, nanos: 30_000_000 }, decay: { seconds: 10n, nanos: 0 } },
    });
    assert.deepEqual(backend.queue, { capacity: 100, failfastTimeout: { seconds: 3n, nanos: 0 } });
    assert.equal(kind.value.opaque?.routes[0]?.metadata?.kind?.value, "opaq");

    const protocolAt = async (port: number): Promise<string | undefined> =>
      (await watchAddress(ip, port).next(() => true)).protocol?.kind?.$case;
    assert.deepEqual(await Promise.all([81, 82, 83].map(protocolAt)), ["http1", "http2", "opaque"]);

    const undefinedPort = (await watchAddress(ip, 99).next(() => true)).protocol?.kind;
    assert.ok(undefinedPort?.$case === "opaque");
    const [route] = undefinedPort.value.routes;
    assert.equal(route?.metadata?.kind?.value, "undefined-port");
    assert.equal(route?.rules[0]?.filters[0]?.kind?.$case, "forbidden");

    const outside = await watchAddress("192.0.2.77", 443).next(() => true);
    assert.equal(outside.metadata?.kind?.value, "egress-fallback");

    await client.patch(resource.services, "policy", namespace, {
      metadata: { annotations: { "config.linkerd.io/opaque-ports": "80" } },
    });
    await detect.next(({ protocol }) => protocol?.kind?.$case === "opaque", 1_000);
    await client.delete(resource.services, "policy", namespace);
    await detect.next(({ metadata }) => metadata?.kind?.value === "egress-fallback", 1_000);

    const missing = hear(
      outbound.watch({ sourceWorkload: "", target: { $case: "authority", value: `${fqdn("none")}:80` } }),
    );
    assert.equal((await missing.failure()).code, status.NOT_FOUND);
    const nothing = hear(outbound.watch({ sourceWorkload: "", target: undefined }));
    assert.equal((await nothing.failure()).code, status.INVALID_ARGUMENT);
  });

  it("serves the default inbound policy with routes of the pod's probes, and follows annotations", async () => {
    await pod("server", "10.1.4.1");
    const token = JSON.stringify({ ns: namespace, pod: "server" });
    const heard = watchPort(`${token}\n`, 8080);
    const first = await heard.next(({ serverIps }) => serverIps.length > 0);
    assert.deepEqual(first.labels, { group: "", kind: "default", name: "all-unauthenticated" });
    const kind = first.protocol?.kind;
    assert.ok(kind?.$case === "detect");
    const routes = kind.value.httpRoutes.map((route) => [
      route.metadata?.kind?.value,
      route.rules[0]?.matches.map(({ path }) => path?.kind?.value),
    ]);
    assert.deepEqual(routes, [
      ["probe", ["/live", "/ready"]],
      ["default", ["/"]],
    ]);
    assert.equal(first.authorizations[0]?.authentication?.permit?.$case, "unauthenticated");

    await client.patch(resource.namespaces, namespace, undefined, {
      metadata: { annotations: { "config.linkerd.io/default-inbound-policy": "all-authenticated" } },
    });
    const closed = await heard.next(({ labels }) => labels["name"] === "all-authenticated", 1_000);
    assert.equal(closed.authorizations[0]?.authentication?.permit?.$case, "meshTLS");
    const closedKind = closed.protocol?.kind;
    assert.ok(closedKind?.$case === "detect");
    // The kubelet has no certificate, and is let in all the same.
    assert.equal(closedKind.value.httpRoutes[0]?.authorizations[0]?.authentication?.permit?.$case, "unauthenticated");

    await client.patch(resource.pods, "server", namespace, {
      metadata: { annotations: { "config.linkerd.io/default-inbound-policy": "deny" } },
    });
    const denied = await heard.next(({ labels }) => labels["name"] === "deny", 1_000);
    assert.deepEqual(denied.authorizations, []);

    await client.delete(resource.pods, "server", namespace);
    assert.equal((await heard.failure()).code, status.NOT_FOUND);
    assert.equal((await watchPort(`${namespace}:none`, 80).failure()).code, status.NOT_FOUND);
    assert.equal((await watchPort("nonsense", 80).failure()).code, status.INVALID_ARGUMENT);
    assert.equal((await watchPort(token, 0).failure()).code, status.INVALID_ARGUMENT);
  });
});
