/** The sandbox's node: pods as processes of this machine. What a kubelet, kube-proxy and a DNS server do together. */
import { mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import type { LogOptions, NodeNetwork, SandboxApi, SandboxNode, StoreChange } from "../seam.ts";
import { AddressPool } from "./address-range.ts";
import { abandonedHomes, claimHome, releaseHome } from "./claims.ts";
import { dialInNamespace } from "./dial-in-namespace.ts";
import { clusterNames } from "./dns-records.ts";
import { DnsServer } from "./dns-server.ts";
import { Network, removeNetwork } from "./network.ts";
import type { Pod, Service } from "./pod-types.ts";
import { PodWorker } from "./pod-worker.ts";
import { ServiceRouter } from "./service-router.ts";

const DOMAIN = "cluster.local";

export interface SandboxNodeOptions {
  /** Folder of the sandbox's state; names of namespaces and links come from it. */
  readonly home: string;
  readonly log: (line: string) => void;
}

/**
 * Removes what crashed sandboxes left, of this home and of others, and prepares the network.
 * @throws Error without root, iproute2 or iptables; where a living sandbox holds this home
 */
export async function createSandboxNode(options: SandboxNodeOptions): Promise<SandboxNode> {
  await claimHome(options.home);
  for (const home of new Set([options.home, ...(await abandonedHomes())])) await removeSandboxNode(home);
  await claimHome(options.home);
  return new ProcessNode(options, await Network.create(options.home));
}

/**
 * Ends every process of this home's sandbox and removes its namespaces, links, rules and pods' folders: for `down`, when
 * the sandbox itself is gone. Nothing there is no error.
 */
export async function removeSandboxNode(home: string): Promise<void> {
  await removeNetwork(home);
  await rm(podsFolder(home), { recursive: true, force: true });
  await releaseHome(home);
}

const podsFolder = (home: string): string => join(home, "pods");

class ProcessNode implements SandboxNode {
  readonly network: NodeNetwork;
  readonly #options: SandboxNodeOptions;
  readonly #network: Network;
  readonly #pools: ReadonlyMap<string, AddressPool>;
  /** By uid: a name may return before its last holder has ended. */
  readonly #workers = new Map<string, PodWorker>();
  readonly #endings: (() => void)[] = [];
  #router: ServiceRouter | undefined;
  #dns: DnsServer | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: SandboxNodeOptions, network: Network) {
    this.#options = options;
    this.#network = network;
    const { nodes, hostAddress, serviceCidr, dnsAddress } = network.plan;
    this.network = { nodes, apiAddress: hostAddress, serviceCidr, dnsAddress };
    this.#pools = new Map(nodes.map(({ name, podCidr }) => [name, new AddressPool(podCidr)]));
  }

  async start(api: SandboxApi): Promise<void> {
    const { hostAddress, dnsAddress } = this.#network.plan;
    await mkdir(podsFolder(this.#options.home), { recursive: true });
    this.#dns = new DnsServer(clusterNames(api, DOMAIN), DOMAIN);
    const dnsPort = await this.#dns.start(hostAddress);
    const target = `${hostAddress}:${dnsPort}`;
    const fixed = (["udp", "tcp"] as const).map((protocol) => ({ address: dnsAddress, port: 53, protocol, target }));
    this.#router = new ServiceRouter(api, this.#network, fixed, this.#options.log);
    await this.#router.start();
    const refresh = (change: StoreChange): void => this.#refreshVolumes(change.object.metadata.namespace);
    this.#endings.push(
      api.watch<Pod>(resource.pods, (change) => this.#podChanged(api, change)),
      api.watch(resource.configMaps, refresh),
      api.watch(resource.secrets, refresh),
    );
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    for (const end of this.#endings.splice(0)) end();
    await this.#router?.stop();
    await Promise.all([...this.#workers.values()].map((worker) => worker.kill()));
    await this.#dns?.stop();
    await removeSandboxNode(this.#options.home);
  }

  async *logs(pod: KubeObject, options: LogOptions): AsyncGenerator<Uint8Array> {
    if (options.timestamps || options.sinceTime !== undefined) {
      throw new Error("the sandbox keeps no times of log lines: ask without --timestamps, --since and --since-time");
    }
    const { container, previous, follow, signal, tailLines, limitBytes } = options;
    const runner = this.#workers.get(pod.metadata.uid ?? "")?.runner(container);
    if (runner === undefined || runner.run < 0) {
      const reason = runner?.status.state.waiting?.reason ?? "ContainerCreating";
      throw new Error(`container "${container}" in pod "${pod.metadata.name}" is waiting to start: ${reason}`);
    }
    if (previous && runner.run === 0) {
      throw new Error(`previous terminated container "${container}" in pod "${pod.metadata.name}" not found`);
    }
    yield* runner.log.read(runner.run - (previous ? 1 : 0), {
      ...(tailLines === undefined ? {} : { tailLines }),
      ...(limitBytes === undefined ? {} : { limitBytes }),
      ...(follow && !previous ? { follow: { ended: runner.runEnded, signal } } : {}),
    });
  }

  dial(address: string, port: number, signal?: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address, port });
      // Aborting is for the dialling only: the connection is the caller's then.
      const abort = (): void => {
        socket.destroy();
        reject(signal?.reason);
      };
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      socket.once("error", (error) => {
        signal?.removeEventListener("abort", abort);
        reject(error);
      });
      socket.once("connect", () => {
        signal?.removeEventListener("abort", abort);
        resolve(socket);
      });
    });
  }

  async dialInPod(pod: KubeObject, port: number): Promise<Duplex> {
    const namespace = this.#workers.get(pod.metadata.uid ?? "")?.networkNamespace;
    if (namespace === undefined) throw new Error(`pod "${pod.metadata.name}" is not running on this node`);
    return dialInNamespace(namespace, port);
  }

  #podChanged(api: SandboxApi, change: StoreChange<Pod>): void {
    const pod = change.object;
    const { uid } = pod.metadata;
    const worker = this.#workers.get(uid);
    if (change.type === "deleted") {
      // Taken away without waiting for the node (grace period 0), or by the worker itself, which has ended then.
      if (worker !== undefined) void worker.end(0);
      return;
    }
    if (worker !== undefined) {
      worker.update(pod);
      return;
    }
    const node = this.#network.plan.nodes.find(({ name }) => name === pod.spec.nodeName);
    const pool = node && this.#pools.get(node.name);
    if (node === undefined || pool === undefined) return;
    const created = new PodWorker(pod, {
      api,
      network: this.#network,
      cluster: { dns: this.#network.plan.dnsAddress, apiServer: this.#apiServer(api), domain: DOMAIN },
      node: node.name,
      pool,
      hostAddress: node.address,
      folder: podsFolder(this.#options.home),
      log: this.#options.log,
    });
    this.#workers.set(uid, created);
    void created.ended.then(() => this.#workers.delete(uid));
    created.start();
    if (pod.metadata.deletionTimestamp !== undefined) created.update(pod);
  }

  #refreshVolumes(namespace: string | undefined): void {
    for (const worker of this.#workers.values()) {
      if (worker.pod.metadata.namespace === namespace) worker.refreshVolumes();
    }
  }

  /** ClusterIP of Service kubernetes: the first of the range, whether the API has made it yet or not. */
  #apiServer(api: SandboxApi): string {
    const service = api.get<Service>(resource.services, "kubernetes", "default");
    return service?.spec?.clusterIP ?? this.#network.plan.serviceCidr.replace(/\.\d+\/\d+$/, ".1");
  }
}
