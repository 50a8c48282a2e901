/** The statistics and tap process: its parts, put together. */
import type { KubeClient } from "../../kube/types.ts";
import { CONTROLLER_SERVICE_ACCOUNT, controlService, workloadIdentity } from "../../model/identity.ts";
import { port } from "../../model/ports.ts";
import type { ControllerConfig } from "../config/config.ts";
import { type Log, messageOf } from "../config/log.ts";
import { AdminServer } from "../front/admin-server.ts";
import { handleTap } from "../tap/tap-handler.ts";
import { Access } from "./access.ts";
import { type ApiServer, startApiServer } from "./api-server.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import { Scraper } from "./history/scraper.ts";
import { Leadership } from "./leadership.ts";
import { OwnIdentity } from "./own-identity.ts";
import { createRouter } from "./router.ts";
import { ServingMaterial } from "./serving-material.ts";
import { handleStats } from "./stats-handler.ts";
import { StatusError } from "./status.ts";
import { Topology } from "./topology.ts";
import { vizMetrics } from "./viz-metrics.ts";

export interface VizOptions {
  readonly client: KubeClient;
  readonly config: ControllerConfig;
  readonly log: Log;
  readonly tokenFile: string;
  /** `host:port` of the identity service; default the neighbour in this pod. */
  readonly identityAddress?: string;
  /** Where the aggregated APIs are served; default 127.0.0.1, where the front of port 10250 finds them. */
  readonly host?: string;
  readonly port?: number;
  readonly adminPort?: number;
}

export interface Viz {
  readonly port: number;
  readonly adminPort: number;
  stop(): Promise<void>;
}

/** Resolves when the aggregated APIs are served; rejects only where a port is taken or `signal` aborts. */
export async function startViz(options: VizOptions, signal: AbortSignal): Promise<Viz> {
  const { client, config, log } = options;
  const { namespace, mesh } = config;
  const scope = { controlPlaneNamespace: mesh.controlPlaneNamespace, trustDomain: mesh.trustDomain };
  const identityName = workloadIdentity(scope, namespace, CONTROLLER_SERVICE_ACCOUNT);
  const topology = new Topology(client, log);
  const leadership = new Leadership(client, namespace, log);
  const material = new ServingMaterial(client, namespace, log);
  const identity = new OwnIdentity({
    name: identityName,
    tokenFile: options.tokenFile,
    identityAddress: options.identityAddress ?? `127.0.0.1:${port.identity}`,
    material,
    log: log.for("identity"),
  });
  let scraper: Scraper | undefined;
  let server: ApiServer | undefined;
  let synced = false;

  const followLease = (): void => {
    const mine = leadership.holder === config.podName;
    if (mine && scraper === undefined) {
      log.info("this replica scrapes");
      scraper = new Scraper({ topology, mesh: namespace, log: log.for("scrape") });
    } else if (!mine && scraper !== undefined) {
      log.info("this replica no longer scrapes", { holder: leadership.holder });
      scraper.stop();
      scraper = undefined;
    }
  };

  const notReady = (): string | undefined => {
    if (!synced) return "the first lists of the cluster are still being read";
    return server === undefined ? "the serving certificate has not been made yet" : undefined;
  };
  const taps = { open: 0 };
  const { metrics, requests } = vizMetrics({ scraper: () => scraper, topology, taps });
  const admin = new AdminServer({
    port: options.adminPort ?? port.vizAdmin,
    notReady,
    metrics,
  });

  const access = new Access(client);
  const elsewhere = async (exchange: Exchange): Promise<void> => {
    const { holder } = leadership;
    const ip = holder === undefined ? undefined : topology.pods.store.get(`${namespace}/${holder}`)?.ip;
    if (ip === undefined) {
      throw new StatusError(
        "ServiceUnavailable",
        holder === undefined
          ? "no replica of weft-controller holds the Lease yet: ask again in some seconds"
          : `the replica that scrapes (${holder}) has no address: it is starting or has gone`,
      );
    }
    await forward(exchange, ip, { identity, material, serverName: `${controlService.viz}.${namespace}.svc` });
  };
  const router = createRouter({
    version: mesh.version,
    ready: () => notReady() === undefined,
    stats: (exchange, segments) =>
      handleStats({ access, topology, scope, scraper: () => scraper, elsewhere }, exchange, segments),
    tap: (exchange, segments) =>
      handleTap({ access, topology, scope, identity, mesh: namespace, taps, log: log.for("tap") }, exchange, segments),
  });

  async function stop(): Promise<void> {
    scraper?.stop();
    await server?.close();
    admin.close();
    identity.stop();
    leadership.stop();
    material.stop();
    topology.stop();
  }

  try {
    const adminPort = await admin.listen();
    await until(Promise.all([topology.synced(), leadership.synced]), signal);
    synced = true;
    leadership.onChange(followLease);
    followLease();
    await until(materialComplete(material), signal);
    server = await startApiServer({
      material,
      replicaIdentity: identityName,
      handle: router,
      onAnswer: (http, code) => requests.add({ http, code: String(code) }),
      log: log.for("api"),
      host: options.host ?? "127.0.0.1",
      port: options.port ?? port.viz,
    });
    log.info("serving", { port: server.port });
    return { port: server.port, adminPort, stop };
  } catch (error) {
    await stop();
    if (!signal.aborted) log.error("the start failed", { reason: messageOf(error) });
    throw error;
  }
}

/** Resolves when there is all that the server needs. */
function materialComplete(material: ServingMaterial): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (material.certificate === undefined || material.requestHeader === undefined) return;
      unsubscribe();
      resolve();
    };
    const unsubscribe = material.onChange(look);
    look();
  });
}

function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
