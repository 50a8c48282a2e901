/** Our proxy as the injector starts it: the packed bundle behind its loader, told by its environment, under a real control plane. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { BUNDLE_MAIN, bundleAddon, PROXY_NODE_ENV, PROXY_NODE_FLAGS } from "../../../runtime/model/bundle.ts";
import { CONTROLLER_IDENTITY } from "../../integration/proxy-control/support/control-plane.ts";
import type { PlaneStarted } from "./plane.ts";

const root = resolve(import.meta.dirname, "../../..");
const bundle = join(root, "dist/runtime/proxy");

export interface SidecarOptions {
  /** Its own, for what its pod would mount. */
  readonly folder: string;
  readonly plane: PlaneStarted;
  readonly name: string;
  /** Of its pod. */
  readonly ip: string;
  readonly ports: { readonly inbound: number; readonly outbound: number; readonly admin: number; readonly tap: number };
  readonly inboundPorts: readonly number[];
  /** A CPU profile is written into this folder at the end; then it runs from source, so that functions have names. */
  readonly profile?: string;
  /** Addon that measures turns, and the file that it writes to. */
  readonly turns?: { readonly addon: string; readonly file: string };
}

export interface Command {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** The command line after `node`, and what is added to the environment. Writes the files that a pod would mount. */
export function sidecarCommand(options: SidecarOptions): Command {
  const { folder, plane, name, ip, ports, profile, turns } = options;
  mkdirSync(folder, { recursive: true, mode: 0o777 });
  writeFileSync(join(folder, "token"), "a-token");
  writeFileSync(join(folder, "ca-bundle.crt"), plane.anchorsPem);
  const settings: Record<string, string> = {
    LOG: "warn,linkerd=info",
    DESTINATION_SVC_ADDR: `127.0.0.1:${plane.services}`,
    DESTINATION_SVC_NAME: CONTROLLER_IDENTITY,
    DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8",
    DESTINATION_CONTEXT: '{"ns":"bench"}',
    POLICY_SVC_ADDR: `127.0.0.1:${plane.services}`,
    POLICY_SVC_NAME: CONTROLLER_IDENTITY,
    POLICY_WORKLOAD: '{"ns":"bench", "pod":"bench-1"}',
    POLICY_CLUSTER_NETWORKS: "10.0.0.0/8",
    CONTROL_STREAM_INITIAL_TIMEOUT: "3s",
    CONTROL_STREAM_IDLE_TIMEOUT: "5m",
    CONTROL_STREAM_LIFETIME: "1h",
    INBOUND_LISTEN_ADDR: `0.0.0.0:${ports.inbound}`,
    OUTBOUND_LISTEN_ADDR: `127.0.0.1:${ports.outbound}`,
    OUTBOUND_LISTEN_ADDRS: `127.0.0.1:${ports.outbound}`,
    CONTROL_LISTEN_ADDR: `0.0.0.0:${ports.tap}`,
    ADMIN_LISTEN_ADDR: `0.0.0.0:${ports.admin}`,
    INBOUND_DEFAULT_POLICY: "all-unauthenticated",
    INBOUND_PORTS: options.inboundPorts.join(","),
    INBOUND_IPS: ip,
    INBOUND_CONNECT_TIMEOUT: "100ms",
    INBOUND_DISCOVERY_IDLE_TIMEOUT: "90s",
    OUTBOUND_CONNECT_TIMEOUT: "1000ms",
    OUTBOUND_DISCOVERY_IDLE_TIMEOUT: "5s",
    IDENTITY_LOCAL_NAME: name,
    IDENTITY_TOKEN_FILE: join(folder, "token"),
    IDENTITY_SVC_ADDR: `127.0.0.1:${plane.identity}`,
    IDENTITY_SVC_NAME: CONTROLLER_IDENTITY,
    TAP_SVC_NAME: CONTROLLER_IDENTITY,
  };
  const env: NodeJS.ProcessEnv = {
    ...PROXY_NODE_ENV,
    WEFT_TRUST_BUNDLE_FILE: join(folder, "ca-bundle.crt"),
    ...(turns === undefined ? {} : { WEFT_BENCH_TURNS: turns.file }),
  };
  for (const [key, text] of Object.entries(settings)) env[`LINKERD2_PROXY_${key}`] = text;
  const flags = [...PROXY_NODE_FLAGS, ...(turns === undefined ? [] : ["--require", turns.addon])];
  if (profile !== undefined) {
    const prof = ["--cpu-prof", "--cpu-prof-interval=200", `--cpu-prof-dir=${profile}`];
    env["WEFT_ORIGINAL_DST_ADDON"] = join(bundle, bundleAddon(process.arch));
    return { argv: [...flags, ...prof, join(root, "runtime/proxy/main.ts")], env };
  }
  env["WEFT_BUNDLE_FOLDER"] = bundle;
  env["WEFT_BUNDLE_SCRATCH"] = folder;
  env["WEFT_BUNDLE_SHA256"] = JSON.stringify(digests());
  return { argv: [...flags, "-e", readFileSync(join(root, "dist/runtime/loader.cjs"), "utf8")], env };
}

function digests(): Record<string, string> {
  const wanted = [BUNDLE_MAIN, bundleAddon(process.arch)];
  const files = readdirSync(bundle).filter((name) => wanted.includes(name));
  return Object.fromEntries(
    files.map((name) => [
      name,
      createHash("sha256")
        .update(readFileSync(join(bundle, name)))
        .digest("hex"),
    ]),
  );
}

/** Bytes of the packed bundle. */
export function bundleSize(): number {
  return readFileSync(join(bundle, BUNDLE_MAIN)).length;
}
