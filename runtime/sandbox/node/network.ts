/**
 * The sandbox's own network: a namespace that routes between pods and the host, and one namespace a pod. The host gets
 * one link and one route, no rule. Pods are routed, not bridged: every packet passes the rules of Services both ways.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { type AddressPlan, freePlans } from "./address-range.ts";
import { run } from "./command.ts";

const NETNS_FOLDER = "/run/netns";

/** All names of one sandbox begin with it; sandboxes of other homes are left alone. At most 10 characters. */
export function namePrefix(home: string): string {
  return `weft-${createHash("sha256").update(home).digest("hex").slice(0, 5)}`;
}

export const namespacePath = (namespace: string): string => `${NETNS_FOLDER}/${namespace}`;

export class Network {
  readonly plan: AddressPlan;
  readonly #prefix: string;

  private constructor(prefix: string, plan: AddressPlan) {
    this.#prefix = prefix;
    this.plan = plan;
  }

  /**
   * Makes the node's namespace and its link to the host, in the first range that is free.
   * @throws Error without root or without iproute2
   */
  static async create(home: string): Promise<Network> {
    const prefix = namePrefix(home);
    const plans = freePlans(await hostDestinations());
    for (const plan of plans.slice(0, 5)) {
      const network = new Network(prefix, plan);
      if (await network.#build()) return network;
    }
    throw new Error("no private /16 of 10.200–10.249 or 100.100–100.119 is free on this machine: see `ip route`");
  }

  /** The namespace of routes and Services' rules. */
  get routerNamespace(): string {
    return `${this.#prefix}-router`;
  }

  /** @returns name of the pod's namespace, with its address on eth0 */
  async attachPod(uid: string, address: string): Promise<string> {
    const namespace = this.podNamespace(uid);
    await this.#attach(namespace, address);
    return namespace;
  }

  /** The network of a node's hostNetwork pods. The real host's is nobody's. */
  nodeNamespace(node: string): string {
    return `${this.#prefix}-${node}`;
  }

  async #attach(namespace: string, address: string): Promise<void> {
    const link = linkName(namespace);
    const { gateway } = this.plan;
    await run("ip", ["netns", "add", namespace]);
    await ipBatch(this.routerNamespace, [
      `link add ${link} type veth peer name eth0 netns ${namespace}`,
      `link set ${link} up`,
      `route add ${address}/32 dev ${link} src ${gateway}`,
    ]);
    await ipBatch(namespace, [
      "link set lo up",
      `address add ${address}/32 dev eth0`,
      "link set eth0 up",
      `route add ${gateway} dev eth0 scope link src ${address}`,
      `route add default via ${gateway} src ${address}`,
    ]);
  }

  podNamespace(uid: string): string {
    return `${this.#prefix}-pod-${uid}`;
  }

  async detachPod(uid: string): Promise<void> {
    await removeNamespace(this.podNamespace(uid));
  }

  /** Replaces tables of the router namespace at once. @param rules text of iptables-restore */
  async restoreRules(rules: string): Promise<void> {
    await run("nsenter", [`--net=${namespacePath(this.routerNamespace)}`, "iptables-restore", "--wait=5"], rules);
  }

  /** False where another sandbox took the range in between. */
  async #build(): Promise<boolean> {
    const { cidr, hostAddress, gateway, nodes, serviceCidr } = this.plan;
    const router = this.routerNamespace;
    await run("ip", ["netns", "add", router]);
    await run("ip", ["link", "add", this.#prefix, "type", "veth", "peer", "name", "uplink", "netns", router]);
    await ipBatch(router, [
      "link set lo up",
      `address add ${gateway}/24 dev uplink`,
      "link set uplink up",
      // A Service without endpoints reaches the rule that rejects it.
      `route add ${serviceCidr} dev uplink`,
    ]);
    await run("nsenter", [`--net=${namespacePath(router)}`, "sh", "-c", ROUTER_SYSCTLS]);
    await run("ip", ["link", "set", this.#prefix, "up"]);
    try {
      // Only one can have the route: whoever comes second takes another range.
      await run("ip", ["route", "add", cidr, "dev", this.#prefix]);
    } catch (error) {
      await run("ip", ["link", "delete", this.#prefix]);
      await removeNamespace(router);
      if (error instanceof Error && error.message.includes("File exists")) return false;
      throw error;
    }
    await run("ip", ["address", "add", `${hostAddress}/24`, "dev", this.#prefix]);
    await run("ip", ["route", "replace", cidr, "via", gateway, "src", hostAddress]);
    for (const { name, address } of nodes) await this.#attach(this.nodeNamespace(name), address);
    return true;
  }
}

const ROUTER_SYSCTLS = [
  "echo 1 >/proc/sys/net/ipv4/ip_forward",
  // A pod that reaches itself through a Service goes out by the link it came in on.
  "for name in all default uplink; do echo 0 >/proc/sys/net/ipv4/conf/$name/send_redirects; done",
].join(" && ");

/** Within the 15 characters of an interface's name. */
const linkName = (namespace: string): string =>
  `to-${createHash("sha256").update(namespace).digest("hex").slice(0, 10)}`;

async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  await run("ip", ["-n", namespace, "-batch", "-"], `${lines.join("\n")}\n`);
}

async function hostDestinations(): Promise<string[]> {
  const routes = JSON.parse(await run("ip", ["-4", "-json", "route", "show", "table", "all"])) as { dst: string }[];
  return routes.map(({ dst }) => dst);
}

/**
 * Ends every process in the namespaces of this home's sandbox and removes them with their links and rules: what a
 * crashed one left, or the last step of an orderly end. Namespaces that are gone are no error.
 */
export async function removeNetwork(home: string): Promise<void> {
  const prefix = namePrefix(home);
  // Namespaces go when the kernel finds the time; the host's link shall be gone when this returns.
  await run("ip", ["link", "delete", prefix]).catch(() => {});
  const names = await readdir(NETNS_FOLDER).catch(() => []);
  await Promise.all(names.filter((name) => name.startsWith(`${prefix}-`)).map(removeNamespace));
}

async function removeNamespace(namespace: string): Promise<void> {
  const pids = await run("ip", ["netns", "pids", namespace]).catch(() => "");
  for (const pid of pids.split("\n").filter(Boolean).map(Number)) await endProcess(pid);
  await run("ip", ["netns", "delete", namespace]).catch((error: unknown) => {
    if (!(error instanceof Error && error.message.includes("No such file"))) throw error;
  });
}

/** Kills and waits until it is gone (or its parent has yet to collect it), at most a second. */
async function endProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    return;
  }
  for (let tries = 0; tries < 50; tries++) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined || stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z")) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
