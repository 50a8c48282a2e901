/** The proxies of one variant between clients and server, running. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PROXY_UID } from "../../runtime/model/names.ts";
import {
  CLIENT_NAME,
  type Ports,
  type Protocol,
  portsOf,
  SERVER_NAME,
  SERVER_PORT,
  type Topology,
  type Variant,
} from "./cells.ts";
import { cpuMs, memoryKiB } from "./support/cpu.ts";
import { haproxyConfig } from "./support/haproxy.ts";
import { listening, SERVER_IP } from "./support/namespace.ts";
import { nginxConfig, type PeerOptions } from "./support/nginx.ts";
import { type SidecarOptions, sidecarCommand } from "./support/weft.ts";
import type { World } from "./world.ts";

export interface DeployOptions {
  readonly protocol: Protocol;
  readonly topology: Topology;
  readonly variant: Variant;
  /** See {@link SidecarOptions}; of the client's side. */
  readonly turns?: SidecarOptions["turns"];
  readonly profile?: string;
}

type Role = "outbound" | "inbound";

/** Output of processes is dropped unless they fail. */
const GRACE_MS = 3_000;

export class Deployment {
  readonly variant: Variant;
  readonly ports: Ports;
  /** The client's side first. */
  readonly processes: readonly ChildProcess[];

  private constructor(variant: Variant, ports: Ports, processes: readonly ChildProcess[]) {
    this.variant = variant;
    this.ports = ports;
    this.processes = processes;
  }

  /** Resolves when all listen. */
  static async start(world: World, options: DeployOptions): Promise<Deployment> {
    const ports = portsOf(options.protocol, options.topology, options.variant);
    const roles: readonly Role[] = options.topology === "mtls" ? ["outbound", "inbound"] : ["outbound"];
    const processes = roles.map((role) => startProxy(world, options, role));
    await Promise.all(
      processes.map((child, index) => {
        const role = roles[index] ?? "outbound";
        return listening(child, ports[role], `${options.variant} (${role}, ${options.protocol})`);
      }),
    );
    return new Deployment(options.variant, ports, processes);
  }

  /** CPU time of all its processes so far. */
  cpuMs(): number {
    return this.processes.reduce((total, { pid }) => total + (pid === undefined ? 0 : cpuMs(pid)), 0);
  }

  /** KiB, the client's side first. */
  memory(): { private: number; rss: number }[] {
    return this.processes.map(({ pid }) => (pid === undefined ? { private: 0, rss: 0 } : memoryKiB(pid)));
  }

  /** Ends its processes; what does not end within its grace is killed. @param profiled gives the time that writing a profile takes */
  async stop(profiled = false): Promise<void> {
    await Promise.all(
      this.processes.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        const late = Symbol("late");
        const first = await Promise.race([ended, sleep(profiled ? 10 * GRACE_MS : GRACE_MS, late, { ref: false })]);
        if (first !== late) return;
        child.kill("SIGKILL");
        await ended;
      }),
    );
  }
}

/** Starts one proxy, without waiting for it. */
export function startProxy(world: World, options: DeployOptions, role: Role): ChildProcess {
  const { variant, protocol, topology } = options;
  return variant === "weft"
    ? startSidecar(world, options, role)
    : startPeer(world, variant, peerOptions(world, variant, protocol, topology, role));
}

function peerOptions(world: World, variant: Variant, protocol: Protocol, topology: Topology, role: Role): PeerOptions {
  const ports = portsOf(protocol, topology, variant);
  const last = topology === "plain" || role === "inbound";
  return {
    folder: world.folderOf(`${variant}-${protocol}-${topology}-${role}`),
    protocol,
    role: topology === "plain" ? "plain" : role,
    listen: `0.0.0.0:${ports[role]}`,
    upstream: `${SERVER_IP}:${last ? SERVER_PORT[protocol] : ports.inbound}`,
    tls: world.tls(role === "inbound" ? SERVER_NAME : CLIENT_NAME),
  };
}

function startPeer(world: World, variant: "nginx" | "haproxy", options: PeerOptions): ChildProcess {
  return variant === "nginx"
    ? world.space.start("nginx", ["-c", nginxConfig(options)], {
        uid: PROXY_UID,
        stdio: ["ignore", "ignore", "inherit"],
      })
    : world.space.start("haproxy", ["-q", "-db", "-f", haproxyConfig(options)], {
        uid: PROXY_UID,
        stdio: ["ignore", "ignore", "inherit"],
      });
}

function startSidecar(world: World, options: DeployOptions, role: Role): ChildProcess {
  const { protocol, topology, profile, turns } = options;
  const ports = portsOf(protocol, topology, "weft");
  const client = role === "outbound";
  const own = client ? ports.client : ports.server;
  const { argv, env } = sidecarCommand({
    folder: world.folderOf(`weft-${protocol}-${topology}-${role}`),
    plane: world.plane,
    name: client ? CLIENT_NAME : SERVER_NAME,
    ip: client ? "10.99.2.1" : SERVER_IP,
    ports: {
      inbound: client ? own.unused : ports.inbound,
      outbound: client ? ports.outbound : own.unused,
      admin: own.admin,
      tap: own.tap,
    },
    inboundPorts: client ? [] : [SERVER_PORT[protocol]],
    ...(profile === undefined ? {} : { profile: join(profile, `${protocol}-${topology}-${role}`) }),
    ...(turns === undefined || !client ? {} : { turns }),
  });
  return world.space.start(process.execPath, argv, {
    uid: PROXY_UID,
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
}
