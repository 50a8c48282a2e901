/** The controller's process, put together: what starts in which order, when it is ready, how it ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { DestinationService as DestinationDefinition } from "../api/gen/io/linkerd/proxy/destination.ts";
import { IdentityService as IdentityDefinition } from "../api/gen/io/linkerd/proxy/identity.ts";
import { InboundServerPoliciesService } from "../api/gen/io/linkerd/proxy/inbound.ts";
import { OutboundPoliciesService } from "../api/gen/io/linkerd/proxy/outbound.ts";
import { resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { CONTROLLER_LEASE } from "../model/control-plane-rbac.ts";
import { controlService } from "../model/identity.ts";
import { port } from "../model/ports.ts";
import type { ControllerConfig } from "./config/config.ts";
import { LAME_DUCK_MS } from "./config/lame-duck.ts";
import { type Log, messageOf } from "./config/log.ts";
import { ClusterState } from "./destination/cluster-state.ts";
import { DestinationService } from "./destination/destination-service.ts";
import { AdminServer } from "./front/admin-server.ts";
import { Front } from "./front/front.ts";
import { Metrics } from "./front/metrics.ts";
import { GrpcPort, type GrpcService } from "./grpc/grpc-port.ts";
import { identityService } from "./identity/identity-service.ts";
import { OwnLeaf } from "./identity/own-leaf.ts";
import { Injector } from "./injector/admission.ts";
import { WorkloadEvents } from "./injector/events.ts";
import { NamespaceFiles } from "./injector/namespace-files.ts";
import { NamespaceKeeper } from "./injector/namespace-keeper.ts";
import { OwnerResolver } from "./injector/owner.ts";
import { WebhookServer } from "./injector/webhook-server.ts";
import { LeaderLease } from "./lease/leader-lease.ts";
import { LeaderTask } from "./lease/leader-task.ts";
import { watchCaBundleTargets } from "./pki/ca-bundle.ts";
import { reportIssuer } from "./pki/issuer-events.ts";
import { PkiKeeper } from "./pki/keeper.ts";
import { LivePki } from "./pki/live-pki.ts";
import type { TlsMaterial } from "./pki/tls-secret.ts";
import { inboundPolicies, outboundPolicies } from "./policy/policy-services.ts";

export interface ControllerPorts {
  readonly identity: number;
  readonly destination: number;
  readonly policy: number;
  readonly api: number;
  readonly admin: number;
}

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly config: ControllerConfig;
  readonly log: Log;
  /** Default those of ARCHITECTURE.md; 0: any. */
  readonly ports?: ControllerPorts;
  /** Default all addresses. */
  readonly host?: string;
  /** Where the viz process listens. */
  readonly vizPort?: number;
  /** How long an anchor is in the bundle before an issuer under it is used. Default 3 min. */
  readonly trustSpreadMs?: number;
  /** How long clients have to find the other replicas before connections close. Default 3 s. */
  readonly lameDuckMs?: number;
}

export interface Controller {
  /** The ports in use, once {@link ready}. */
  readonly ports: ControllerPorts;
  stop(): Promise<void>;
}

const DEFAULT_PORTS: ControllerPorts = {
  identity: port.identity,
  destination: port.destination,
  policy: port.policy,
  api: port.api,
  admin: port.controllerAdmin,
};
const MINUTE_MS = 60_000;
/** Watches never end by themselves: after GOAWAY they get this long. */
const DRAIN_MS = 2_000;
const WAITING_LOG_MS = 10_000;

/**
 * Resolves when everything is served; until then /live answers and /ready says what is missing.
 * @throws Error when a port is taken, or the signal's reason when stopped before
 */
export async function startController(options: ControllerOptions, signal: AbortSignal): Promise<Controller> {
  const { client, config, log, host } = options;
  const { mesh, namespace } = config;
  const wanted = options.ports ?? DEFAULT_PORTS;
  const at = host === undefined ? {} : { host };
  const metrics = new Metrics();
  const cleanups: (() => void | Promise<void>)[] = [];
  let notReady: string | undefined = "starting";

  const admin = new AdminServer({ port: wanted.admin, ...at, notReady: () => notReady, metrics });
  const adminPort = await admin.listen();

  const stop = async (): Promise<void> => {
    for (const cleanup of cleanups.splice(0).reverse()) {
      try {
        await cleanup();
      } catch (error) {
        log.warn("stopping", { reason: messageOf(error) });
      }
    }
    admin.close();
  };

  try {
    const state = new ClusterState(client, log.for("discovery"));
    cleanups.push(() => state.stop());
    const pki = new LivePki(client, namespace, log.for("pki"), options.trustSpreadMs);
    cleanups.push(() => pki.stop());
    const trustBundle = (): string | undefined => pki.trustBundle?.pem;
    const lease = new LeaderLease(client, {
      namespace,
      name: CONTROLLER_LEASE,
      identity: config.podName,
      log: log.for("lease"),
    });
    cleanups.push(() => lease.stop(), ...certificateTasks(options, lease, pki));
    lease.start();

    notReady = "reading the cluster's state";
    await untilDone(state.synced, signal);
    cleanups.push(...namespaceTasks(options, lease, pki, state));
    const waiting = setInterval(
      () => log.info("waiting for certificates", { missing: pki.missing().join(", ") }),
      WAITING_LOG_MS,
    );
    notReady = "waiting for certificates";
    try {
      await pki.complete(signal);
    } finally {
      clearInterval(waiting);
    }

    const events = new WorkloadEvents(client, config.podName, log.for("events"));
    cleanups.push(reportIssuer({ client, namespace, pki, lease, events, log: log.for("pki") }));
    const leaf = new OwnLeaf(pki, mesh, log.for("identity"));
    cleanups.push(() => leaf.stop());
    const overflows = metrics.counter(
      "endpoint_updates_queue_overflow",
      "Streams ended because the client did not read.",
    );
    const answers = metrics.counter("identity_cert_requests_total", "Answers to Certify by gRPC status.");
    gauges(metrics, state, pki, lease);

    const destination = new DestinationService({ state, mesh, onOverflow: (kind) => overflows.add({ kind }) });
    cleanups.push(() => destination.stop());
    const policy = { state, mesh, onOverflow: () => overflows.add({ kind: "policy" }) };
    const grpcServers = new Map<string, GrpcPort>();
    metrics.gauges("grpc_connections", "Open connections of clients.", () =>
      [...grpcServers].map(([server, { connections }]) => [{ server }, connections]),
    );
    const grpc = (
      name: string,
      number: number,
      requireClientCertificate: boolean,
      services: GrpcService[],
    ): GrpcPort => {
      const server = new GrpcPort({
        port: number,
        ...at,
        services,
        context: () => leaf.context,
        requireClientCertificate,
        log: log.for(name),
      });
      grpcServers.set(name, server);
      return server;
    };
    const identityServer = grpc("identity", wanted.identity, false, [
      {
        definition: IdentityDefinition,
        implementation: identityService({
          client,
          pki,
          scope: mesh,
          log: log.for("identity"),
          onAnswer: (code) => answers.add({ code: String(code) }),
        }),
      },
    ]);
    const destinationServer = grpc("destination", wanted.destination, true, [
      { definition: DestinationDefinition, implementation: destination.implementation() },
    ]);
    const policyServer = grpc("policy", wanted.policy, true, [
      { definition: InboundServerPoliciesService, implementation: inboundPolicies(policy) },
      { definition: OutboundPoliciesService, implementation: outboundPolicies(policy) },
    ]);

    const webhook = new WebhookServer(
      injector(options, state, trustBundle, events, metrics),
      pki.injectorTls as TlsMaterial,
      log.for("injector"),
    );
    cleanups.push(
      pki.onChange((part) => {
        if (part === "injectorTls" && pki.injectorTls !== undefined) webhook.setCertificate(pki.injectorTls);
      }),
    );
    const vizName = `${controlService.viz}.${namespace}.svc`;
    const front = new Front({
      port: wanted.api,
      ...at,
      vizNames: [vizName, `${vizName}.${mesh.clusterDomain}`],
      viz: { host: "127.0.0.1", port: options.vizPort ?? port.viz },
      webhook: (socket) => webhook.accept(socket),
      log: log.for("front"),
    });

    const servers = [identityServer, destinationServer, policyServer, front];
    cleanups.push(async () => {
      notReady = "shutting down";
      await sleep(options.lameDuckMs ?? LAME_DUCK_MS);
      webhook.close();
      await Promise.all(servers.map((server) => server.drain(DRAIN_MS)));
    });
    const ports: ControllerPorts = {
      identity: await identityServer.listen(),
      destination: await destinationServer.listen(),
      policy: await policyServer.listen(),
      api: await front.listen(),
      admin: adminPort,
    };
    signal.throwIfAborted();
    notReady = undefined;
    log.info("ready", { ...ports, pods: state.podCount });
    return { ports, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function certificateTasks(
  { client, config, log }: ControllerOptions,
  lease: LeaderLease,
  pki: LivePki,
): (() => void | Promise<void>)[] {
  const keeper = new PkiKeeper(client, config.mesh, log.for("pki"));
  const task = new LeaderTask({
    lease,
    name: "keeping certificates",
    run: () => keeper.reconcile(),
    everyMs: 10 * MINUTE_MS,
    log: log.for("pki"),
  });
  const stopPki = pki.onChange(() => task.trigger());
  const stopTargets = watchCaBundleTargets(client, log.for("pki"), () => task.trigger());
  return [stopPki, stopTargets, () => task.stop()];
}

/** Started once the cluster's state is known: which namespaces are meshed. */
function namespaceTasks(
  { client, config, log }: ControllerOptions,
  lease: LeaderLease,
  pki: LivePki,
  state: ClusterState,
): (() => void | Promise<void>)[] {
  const keeper = new NamespaceKeeper(client, config.mesh, state, () => pki.trustBundle?.pem, log.for("namespaces"));
  const trust = new LeaderTask({
    lease,
    name: "distributing trust anchors",
    run: () => keeper.distributeTrust(),
    everyMs: 5 * MINUTE_MS,
    log: log.for("namespaces"),
  });
  const unused = new LeaderTask({
    lease,
    name: "removing unused bundles",
    run: () => keeper.removeUnused(),
    everyMs: 10 * MINUTE_MS,
    log: log.for("namespaces"),
  });
  const stopPki = pki.onChange((part) => {
    if (part === "trustBundle") trust.trigger();
  });
  return [stopPki, () => trust.stop(), () => unused.stop()];
}

function injector(
  { client, config, log }: ControllerOptions,
  state: ClusterState,
  trustBundle: () => string | undefined,
  events: WorkloadEvents,
  metrics: Metrics,
): Injector {
  const { mesh } = config;
  return new Injector({
    mesh,
    async namespace(name) {
      // A namespace made a moment ago may not be in the store yet.
      const found = state.namespace(name) ?? (await client.get<KubeObject>(resource.namespaces, name));
      const { uid, annotations = {} } = found.metadata;
      return { annotations, ...(uid === undefined ? {} : { uid }) };
    },
    trustBundle,
    files: new NamespaceFiles(client, mesh, trustBundle, log.for("namespaces")),
    owners: new OwnerResolver(client),
    events,
    requests: metrics.counter("proxy_inject_admission_requests_total", "Pods that the webhook was asked about."),
    responses: metrics.counter("proxy_inject_admission_responses_total", "Answers of the webhook."),
    log: log.for("injector"),
  });
}

function gauges(metrics: Metrics, state: ClusterState, pki: LivePki, lease: LeaderLease): void {
  metrics.gauge("issuer_cert_ttl_seconds", "Seconds until the issuer's chain expires.", () =>
    pki.issuer === undefined ? undefined : Math.round((pki.issuer.notAfter.getTime() - Date.now()) / 1000),
  );
  metrics.gauge("lease_holder", "1 where this replica holds the Lease.", () => (lease.holding ? 1 : 0));
  metrics.gauge("cluster_state_pods", "Pods known.", () => state.podCount);
  metrics.gauge("cluster_state_staleness_seconds", "Age of the oldest watch's last event or bookmark.", () =>
    Math.round(state.stalenessMs() / 1000),
  );
  metrics.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () => process.memoryUsage.rss());
  metrics.gauge("process_cpu_seconds_total", "User and system CPU time.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
}

function untilDone(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
