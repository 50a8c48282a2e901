/** A whole data plane in one process, with answers given by hand. Run as: proxy.ts '<ProxyOptions>', with an IPC channel. */
import { startInbound } from "../../../../runtime/proxy/inbound/inbound.ts";
import { startOutbound } from "../../../../runtime/proxy/outbound/outbound.ts";
import { loadOriginalDestination } from "../../../../runtime/proxy/transport/original-destination.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";
import type { Credentials } from "./certificates.ts";
import {
  noTap,
  type PortPolicy,
  Recorder,
  type StaticTarget,
  StaticTargets,
  staticIdentity,
  staticPolicies,
} from "./static.ts";

export interface ProxyOptions {
  readonly credentials: Credentials;
  readonly ip: string;
  readonly addon: string;
  readonly transport?: string;
  readonly policies?: Readonly<Record<string, PortPolicy>>;
  readonly targets?: Readonly<Record<string, StaticTarget>>;
  readonly verbose?: boolean;
}

export type ProxyCommand =
  | { readonly set: Readonly<Record<string, StaticTarget>> }
  | { readonly drain: number }
  | { readonly renew: true }
  | { readonly metrics: true };

async function main(options: ProxyOptions): Promise<void> {
  const transport = createTransport(loadOriginalDestination(options.addon), options.transport);
  const metrics = new Recorder();
  const identity = staticIdentity(options.credentials);
  const targets = new StaticTargets();
  for (const [name, target] of Object.entries(options.targets ?? {})) targets.set(name, target);
  const shared = {
    transport,
    identity,
    metrics,
    tap: noTap,
    ips: new Set([options.ip]),
    log: (message: string): void => {
      if (options.verbose) console.error(`${options.ip}: ${message}`);
    },
  };
  const inbound = await startInbound({
    ...shared,
    listen: [{ ip: "0.0.0.0", port: 4143 }],
    policies: staticPolicies(options.policies ?? {}),
    connectTimeoutMs: 100,
    detectTimeoutMs: 10_000,
  });
  const outbound = await startOutbound({
    ...shared,
    listen: [{ ip: "127.0.0.1", port: 4140 }],
    targets,
    connectTimeoutMs: 1_000,
  });
  process.on("message", async (command: ProxyCommand) => {
    if ("set" in command) {
      for (const [name, target] of Object.entries(command.set)) targets.set(name, target);
      process.send?.("done");
    } else if ("renew" in command) {
      identity.renew();
      process.send?.("done");
    } else if ("drain" in command) {
      const began = Date.now();
      await Promise.all([inbound.drain(command.drain), outbound.drain(command.drain)]);
      process.send?.({ drainedMs: Date.now() - began });
      process.disconnect();
    } else {
      const open = { inbound: inbound.openConnections(), outbound: outbound.openConnections() };
      process.send?.({ values: [...metrics.values], open, memory: process.memoryUsage() });
    }
  });
  process.send?.({ transport: transport.name });
}

await main(JSON.parse(process.argv[2] as string) as ProxyOptions);
