/** Pods of the test's world, and proxies for them: real registries, admin and tap servers on addresses of their own. */
import { createSecureContext } from "node:tls";
import { resource } from "../../../../runtime/kube/resources.ts";
import type { KubeObject } from "../../../../runtime/kube/types.ts";
import { container, label } from "../../../../runtime/model/names.ts";
import { port } from "../../../../runtime/model/ports.ts";
import { type AdminServer, startAdmin } from "../../../../runtime/proxy/admin/admin.ts";
import { Log } from "../../../../runtime/proxy/log.ts";
import { processReadings } from "../../../../runtime/proxy/metrics/process.ts";
import { MetricsRegistry } from "../../../../runtime/proxy/metrics/registry.ts";
import { startTapListener, type TapListener } from "../../../../runtime/proxy/tap/listener.ts";
import { TapWatchers } from "../../../../runtime/proxy/tap/watchers.ts";
import { controllerIdentity, NAMESPACE, type World } from "./world.ts";

export interface PodOptions {
  readonly namespace?: string;
  readonly deployment?: string;
  readonly ip: string;
  readonly meshed?: boolean;
  readonly serviceAccount?: string;
}

const HASH = "5d8f7b9c4";

/** A running pod, of a Deployment where one is named. */
export function makePod({ api }: World, name: string, options: PodOptions): void {
  const { namespace = "shop", deployment, ip, meshed = true, serviceAccount = "default" } = options;
  api.create<KubeObject>(resource.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: {
        app: deployment ?? name,
        ...(deployment === undefined ? {} : { "pod-template-hash": HASH }),
        ...(meshed ? { [label.controlPlaneNamespace]: NAMESPACE } : {}),
      },
      ...(deployment === undefined
        ? {}
        : {
            ownerReferences: [
              { apiVersion: "apps/v1", kind: "ReplicaSet", name: `${deployment}-${HASH}`, uid: "u", controller: true },
            ],
          }),
    },
    spec: { serviceAccountName: serviceAccount, nodeName: "node1", containers: [{ name: "app", image: "app" }] },
  });
  api.update<KubeObject>(
    resource.pods,
    name,
    namespace,
    (pod) => {
      pod["status"] = {
        phase: "Running",
        podIP: ip,
        initContainerStatuses: meshed ? [{ name: container.proxy, ready: true }] : [],
      };
    },
    "status",
  );
}

export function makeDeployment({ api }: World, name: string, namespace = "shop"): void {
  const labels = { app: name };
  api.create<KubeObject>(resource.deployments, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "app" }] } },
    },
  });
}

/** A Service and the EndpointSlice of its pods. */
export function makeService(
  { api }: World,
  name: string,
  targetPort: number,
  pods: readonly { readonly name: string; readonly ip: string }[],
  namespace = "shop",
): void {
  api.create<KubeObject>(resource.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort, protocol: "TCP" }] },
  });
  api.create<KubeObject>(resource.endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-abc`, namespace, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "", port: targetPort, protocol: "TCP" }],
    endpoints: pods.map((pod) => ({
      addresses: [pod.ip],
      conditions: { ready: true },
      targetRef: { kind: "Pod", namespace, name: pod.name },
    })),
  });
}

export class TestProxy {
  readonly registry = new MetricsRegistry(600_000);
  readonly watchers = new TapWatchers();
  readonly #admin: AdminServer;
  readonly #tap: TapListener;

  private constructor(registry: MetricsRegistry, watchers: TapWatchers, admin: AdminServer, tap: TapListener) {
    this.registry = registry;
    this.watchers = watchers;
    this.#admin = admin;
    this.#tap = tap;
  }

  static async start(world: World, ip: string, namespace = "shop", serviceAccount = "default"): Promise<TestProxy> {
    const registry = new MetricsRegistry(600_000);
    registry.read(processReadings("test"));
    const watchers = new TapWatchers();
    const proxyLog = new Log("off", "plain");
    const admin = await startAdmin({
      listen: { ip, port: port.admin },
      metrics: registry,
      log: proxyLog,
      isReady: () => true,
      environment: {},
    });
    const { cert, key, ca, identity } = world.leaf(namespace, serviceAccount);
    const context = createSecureContext({ cert, key, ca, minVersion: "TLSv1.3" });
    const tap = await startTapListener({
      listen: { ip, port: port.control },
      clientName: controllerIdentity(),
      identity: {
        name: identity,
        ready: Promise.resolve(),
        context: () => context,
        validity: undefined,
        onChange: () => () => {},
      },
      watchers,
      log: proxyLog.logger("tap"),
    });
    return new TestProxy(registry, watchers, admin, tap);
  }

  close(): void {
    this.#admin.close();
    this.#tap.close();
    this.registry.close();
  }
}
