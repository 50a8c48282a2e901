/** A proxy: all of its parts, in the order in which they may start, and how they end. */
import { statSync } from "node:fs";
import type { AccessLog } from "./access-log/access-log.ts";
import { type AdminServer, startAdmin } from "./admin/admin.ts";
import type { ProxyConfig } from "./config/config.ts";
import { ConfigError, type ControlAddress, isLoopback } from "./config/environment.ts";
import { observeCalls } from "./control/call-metrics.ts";
import type { ControlClient } from "./control/client.ts";
import { Resolvers } from "./control/dns-readings.ts";
import { createGrpcClient, type TlsSource } from "./control/grpc-client.ts";
import { serverReadings } from "./control/server-readings.ts";
import { Certifier } from "./identity/certifier.ts";
import { identityReadings } from "./identity/readings.ts";
import { TrustBundleSource } from "./identity/trust-bundle.ts";
import { IdleCollector } from "./idle-collector.ts";
import { startInbound } from "./inbound/inbound.ts";
import type { DataPlaneListener, DataPlaneOptions } from "./listener.ts";
import type { Log } from "./log.ts";
import { processReadings } from "./metrics/process.ts";
import { MetricsRegistry } from "./metrics/registry.ts";
import { Discovery } from "./outbound/discovery.ts";
import type { OutboundOptions } from "./outbound/options.ts";
import { startOutbound } from "./outbound/outbound.ts";
import { WatchedInboundPolicies } from "./policy/inbound-policies.ts";
import { startTapListener } from "./tap/listener.ts";
import { TapWatchers } from "./tap/watchers.ts";
import type { Tracer } from "./trace/tracer.ts";
import { loadAddon, type NativeAddon, noOriginalDestination } from "./transport/original-destination.ts";
import type { Address, Transport } from "./transport/stream.ts";
import { createTransport } from "./transport/transport.ts";
import { PROXY_VERSION } from "./version.ts";

export interface ProxyAddresses {
  readonly admin: Address;
  /** Present once the proxy serves. */
  readonly inbound?: readonly Address[];
  readonly outbound?: readonly Address[];
  readonly tap?: Address;
}

export interface ProxyOptions {
  readonly config: ProxyConfig;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** POST /shutdown was asked for. */
  readonly onShutdown: () => void;
}

export class SidecarProxy {
  readonly #options: ProxyOptions;
  readonly #metrics: MetricsRegistry;
  readonly #trust: TrustBundleSource;
  readonly #identity: Certifier;
  readonly #resolvers: Resolvers;
  readonly #closers: (() => void)[] = [];
  readonly #addon: NativeAddon | undefined;
  #admin: AdminServer | undefined;
  #listeners: readonly DataPlaneListener[] = [];
  #addresses: Omit<ProxyAddresses, "admin"> = {};
  #ready = false;
  /** What is still to be sent; bounded in time. */
  #beforeClosing: (() => Promise<void>) | undefined;
  #ending: Promise<void> | undefined;

  /** @throws ConfigError, Error where the trust anchors or the token cannot be read */
  constructor(options: ProxyOptions) {
    this.#options = options;
    const { config, log } = options;
    this.#metrics = new MetricsRegistry(config.metricsRetainIdleMs);
    this.#trust = openTrustBundle(config, log);
    requireToken(config.identity.tokenFile);
    const refreshes = { ok: 0, error: 0 };
    this.#identity = new Certifier({
      ...config.identity,
      trust: this.#trust,
      log: log.logger("linkerd_identity"),
      onRefresh: (result) => {
        refreshes[result]++;
      },
    });
    this.#metrics.read(identityReadings(this.#identity, refreshes));
    this.#resolvers = new Resolvers(config.dns);
    this.#metrics.read(() => this.#resolvers.readings());
    this.#metrics.read(processReadings(PROXY_VERSION));
    this.#addon =
      config.originalDestinationAddon === undefined ? undefined : loadAddon(config.originalDestinationAddon);
    const collector = new IdleCollector(this.#addon === undefined ? {} : { collect: this.#addon.collectGarbage });
    this.#closers.push(
      () => collector.close(),
      () => this.#metrics.close(),
      () => this.#trust.close(),
      () => this.#identity.close(),
    );
  }

  /**
   * Resolves when the proxy accepts connections: not before it has a certificate, however long that takes.
   * @throws Error naming the address where it cannot listen
   */
  async start(): Promise<ProxyAddresses> {
    const { config, environment, log, onShutdown } = this.#options;
    const admin = await startAdmin({
      listen: config.admin,
      metrics: this.#metrics,
      log,
      isReady: () => this.#ready,
      environment,
      ...(config.shutdown.endpoint ? { shutdown: onShutdown } : {}),
    });
    this.#admin = admin;
    this.#closers.push(() => admin.close());
    const logger = log.logger("linkerd_proxy");
    logger.info(`Weft proxy ${PROXY_VERSION}, admin on ${admin.address.ip}:${admin.address.port}`);
    for (const [name, reason] of config.ignored) logger.debug(`${name} has no effect: ${reason}`);
    const client = this.#client("identity", config.identity.address, {
      context: () => this.#identity.bootstrapContext(),
    });
    this.#identity.start(client);
    await this.#identity.ready;
    if (this.#ending !== undefined) return { admin: admin.address };
    await this.#startDataPlane();
    this.#ready = this.#ending === undefined;
    logger.info(`ready in ${Math.round(performance.now())} ms`);
    return { admin: admin.address, ...this.#addresses };
  }

  /** Stops accepting, lets what is under way end within `graceMs`, then closes everything. Once: later calls wait for the first. */
  end(graceMs: number): Promise<void> {
    this.#ending ??= this.#drain(graceMs);
    return this.#ending;
  }

  async #drain(graceMs: number): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.drain(graceMs)));
    await this.#beforeClosing?.();
    for (const close of this.#closers.toReversed()) close();
  }

  get adminAddress(): Address | undefined {
    return this.#admin?.address;
  }

  async #startDataPlane(): Promise<void> {
    const { config, log } = this.#options;
    const tls: TlsSource = this.#identity;
    const policyClient = this.#client("policy", config.policy.address, tls);
    const destinationClient = this.#client("destination", config.destination.address, tls);
    const policies = new WatchedInboundPolicies({
      client: policyClient,
      workload: config.policy.workload,
      limits: config.streams,
      defaults: {
        policy: config.inbound.defaultPolicy,
        clusterNetworks: config.inbound.clusterNetworks,
        opaquePorts: config.inbound.opaquePorts,
        detectTimeoutMs: config.inbound.detectTimeoutMs,
      },
      ports: config.inbound.ports,
      idleMs: config.inbound.discoveryIdleMs,
      log: log.logger("linkerd_policy"),
    });
    const targets = new Discovery({
      ...config,
      policyClient,
      destinationClient,
      log: log.logger("linkerd_discovery"),
      metrics: this.#metrics,
    });
    this.#closers.push(
      () => policies.close(),
      () => targets.close(),
    );
    const tap = new TapWatchers();
    const originalDestination = this.#originalDestination();
    const transport = (side: "inbound" | "outbound"): Transport =>
      createTransport(originalDestination, config.transport, {
        ...config[side].sockets,
        setUserTimeout: this.#addon?.setUserTimeout,
      });
    const common = {
      identity: this.#identity,
      metrics: this.#metrics,
      tap,
      tracer: await this.#startTracing(tls),
      ips: new Set(config.inbound.ips),
      headTimeoutMs: config.headTimeoutMs,
      http2Client: { windows: config.http2Windows },
    } satisfies Partial<DataPlaneOptions>;
    const outboundLog = log.logger("linkerd_outbound");
    const outboundOptions: OutboundOptions = {
      ...common,
      transport: transport("outbound"),
      listen: config.outbound.listen,
      connectTimeoutMs: config.outbound.connectTimeoutMs,
      poolIdleMs: config.outbound.poolIdleMs,
      maxIdlePerEndpoint: config.outbound.maxIdlePerEndpoint,
      backlog: config.outbound.backlog,
      http2Limits: config.outbound.http2,
      connectBackoff: config.outbound.connectBackoff,
      informationalHeaders: config.outbound.informationalHeaders,
      hostnameLabels: config.outbound.hostnameLabels,
      load: { requests: 0, most: config.outbound.maxInFlight },
      queues: config.outbound.queues,
      ingress: config.outbound.ingress ? { detectTimeoutMs: config.outbound.detectTimeoutMs } : undefined,
      targets,
      log: (message) => outboundLog.info(message),
    };
    const inboundLog = log.logger("linkerd_inbound");
    const inbound = await startInbound({
      ...common,
      accessLog: await this.#openAccessLog(),
      transport: transport("inbound"),
      listen: [config.inbound.listen],
      connectTimeoutMs: config.inbound.connectTimeoutMs,
      poolIdleMs: config.inbound.poolIdleMs,
      maxIdlePerEndpoint: config.inbound.maxIdlePerEndpoint,
      maxInFlight: config.inbound.maxInFlight,
      authorityLabels: config.inbound.authorityLabels,
      ...(config.inbound.gatewaySuffixes.length === 0
        ? {}
        : { gateway: { suffixes: config.inbound.gatewaySuffixes, outbound: outboundOptions } }),
      backlog: config.inbound.backlog,
      http2Limits: config.inbound.http2,
      detectTimeoutMs: config.inbound.detectTimeoutMs,
      policies,
      log: (message) => inboundLog.info(message),
    });
    this.#listeners = [inbound];
    this.#closers.push(() => inbound.close());
    const outbound = await startOutbound(outboundOptions);
    this.#listeners = [inbound, outbound];
    this.#closers.push(() => outbound.close());
    this.#addresses = { inbound: inbound.addresses, outbound: outbound.addresses };
    await this.#startTap(tap);
  }

  /** Loaded where it is asked for: memory is every sidecar's. */
  async #openAccessLog(): Promise<AccessLog | undefined> {
    const { accessLog: format } = this.#options.config;
    if (format === undefined) return undefined;
    const { openAccessLog } = await import("./access-log/open.ts");
    const { log, close } = openAccessLog(format);
    this.#closers.push(close);
    return log;
  }

  async #startTracing(tls: TlsSource): Promise<Tracer | undefined> {
    const { config, log } = this.#options;
    if (config.trace === undefined) return undefined;
    const { startTracing } = await import("./trace/start.ts");
    const client = this.#client("trace_collector", config.trace.collector, tls);
    const tracing = startTracing({ client, resource: config.trace.resource, log: log.logger("linkerd_trace") });
    this.#metrics.read(() => tracing.readings());
    this.#closers.push(() => tracing.close());
    this.#beforeClosing = () => tracing.flush();
    return tracing.tracer;
  }

  async #startTap(watchers: TapWatchers): Promise<void> {
    const { config, log } = this.#options;
    if (config.tap.clientName === undefined) return;
    const listener = await startTapListener({
      listen: config.tap.listen,
      clientName: config.tap.clientName,
      identity: this.#identity,
      watchers,
      log: log.logger("linkerd_tap"),
    });
    this.#closers.push(() => listener.close());
    this.#addresses = { ...this.#addresses, tap: listener.address };
  }

  /** As Linkerd's, a client connects as the data plane does: on loopback as to the application, else as to endpoints. */
  #client(name: string, address: ControlAddress, tls: TlsSource): ControlClient {
    const { config } = this.#options;
    const { connectTimeoutMs, connectBackoff } = isLoopback(address.host) ? config.inbound : config.outbound;
    const client = createGrpcClient({
      address,
      resolver: this.#resolvers.of(name),
      connectTimeoutMs,
      connectBackoff,
      ...(address.serverName === undefined ? {} : { tls }),
      observer: observeCalls(this.#metrics, address),
    });
    this.#metrics.read(() => serverReadings(name, client));
    this.#closers.push(() => client.close());
    return client;
  }

  #originalDestination(): NativeAddon["originalDestination"] {
    if (this.#addon !== undefined) return this.#addon.originalDestination;
    this.#options.log
      .logger("linkerd_proxy")
      .warn("WEFT_ORIGINAL_DST_ADDON is not set: redirected connections cannot be told from direct ones");
    return noOriginalDestination;
  }
}

function openTrustBundle(config: ProxyConfig, log: Log): TrustBundleSource {
  const { anchors } = config.identity;
  try {
    return new TrustBundleSource(anchors, log.logger("linkerd_identity"));
  } catch (error) {
    const name = "file" in anchors ? "WEFT_TRUST_BUNDLE_FILE" : "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS";
    throw new ConfigError(name, `the trust anchors cannot be read: ${(error as Error).message}`);
  }
}

function requireToken(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined || size === 0) {
    throw new ConfigError(
      "LINKERD2_PROXY_IDENTITY_TOKEN_FILE",
      `${file} ${size === 0 ? "is empty" : "does not exist"}`,
    );
  }
}
