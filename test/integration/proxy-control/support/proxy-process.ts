/** The proxy's program as a process, told by its environment, as in a pod. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CONTROLLER_IDENTITY, type ControlPlane } from "./control-plane.ts";
import { until } from "./until.ts";

const main = resolve(import.meta.dirname, "../../../../runtime/proxy/main.ts");

export interface ProxyProcess {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** All it wrote so far, stdout and stderr. */
  readonly output: () => string;
  /** `http://127.0.0.1:<admin port>`; waits until the proxy has said where. */
  admin(): Promise<string>;
  /** Resolves with its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  stop(): Promise<void>;
}

export const PROXY_NAME = "web.shop.serviceaccount.identity.weft.cluster.local";

/** Writes token and trust bundle into `folder`. @param overrides undefined removes a variable */
export function proxyEnvironment(
  folder: string,
  plane: { identity: number; services: number },
  authority: ControlPlane["authority"],
  overrides: Readonly<Record<string, string | undefined>> = {},
): NodeJS.ProcessEnv {
  writeFileSync(join(folder, "token"), "a-token");
  writeFileSync(join(folder, "ca-bundle.crt"), authority.anchorsPem);
  const variables: Record<string, string | undefined> = {
    LINKERD2_PROXY_IDENTITY_LOCAL_NAME: PROXY_NAME,
    LINKERD2_PROXY_IDENTITY_TOKEN_FILE: join(folder, "token"),
    LINKERD2_PROXY_IDENTITY_SVC_ADDR: `localhost.:${plane.identity}`,
    LINKERD2_PROXY_IDENTITY_SVC_NAME: CONTROLLER_IDENTITY,
    LINKERD2_PROXY_DESTINATION_SVC_ADDR: `127.0.0.1:${plane.services}`,
    LINKERD2_PROXY_DESTINATION_SVC_NAME: CONTROLLER_IDENTITY,
    LINKERD2_PROXY_POLICY_SVC_ADDR: `127.0.0.1:${plane.services}`,
    LINKERD2_PROXY_POLICY_SVC_NAME: CONTROLLER_IDENTITY,
    LINKERD2_PROXY_POLICY_WORKLOAD: '{"ns":"shop", "pod":"web-1"}',
    LINKERD2_PROXY_INBOUND_LISTEN_ADDR: "127.0.0.1:0",
    LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR: "127.0.0.1:0",
    LINKERD2_PROXY_ADMIN_LISTEN_ADDR: "127.0.0.1:0",
    LINKERD2_PROXY_CONTROL_LISTEN_ADDR: "127.0.0.1:0",
    WEFT_TRUST_BUNDLE_FILE: join(folder, "ca-bundle.crt"),
    ...overrides,
  };
  const environment: NodeJS.ProcessEnv = { PATH: process.env["PATH"] };
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) environment[name] = value;
  return environment;
}

/** @param overrides as for {@link proxyEnvironment}. @param options resolvConf: what the proxy finds as /etc/resolv.conf; root only */
export function startProxyProcess(
  plane: { identity: number; services: number },
  authority: ControlPlane["authority"],
  overrides: Readonly<Record<string, string | undefined>> = {},
  options: { readonly resolvConf?: string } = {},
): ProxyProcess {
  const folder = mkdtempSync(join(tmpdir(), "weft-proxy-"));
  const environment = proxyEnvironment(folder, plane, authority, overrides);
  const [program = "", ...args] = [...withResolvConf(options.resolvConf), process.execPath, main];
  const child = spawn(program, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const ended = new Promise<number | string>((resolve) => {
    child.on("close", (code, signal) => resolve(code ?? signal ?? "?"));
  });
  return {
    child,
    folder,
    environment,
    output: () => output,
    ended,
    admin: async () => {
      await until("the admin address", () => /admin on [\d.]+:\d+/.test(output), 10_000);
      return `http://${/admin on ([\d.]+:\d+)/.exec(output)?.[1]}`;
    },
    stop: async () => {
      child.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The program that runs the rest of the line in a mount namespace of its own. */
function withResolvConf(file: string | undefined): string[] {
  const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
  return file === undefined ? [] : ["unshare", "--mount", "sh", "-c", script, file];
}
