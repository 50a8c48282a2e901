/** Two or more meshed pods with an application each, as the tests use them. */
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { PROXY_UID } from "../../../../runtime/model/names.ts";
import type { Endpoint } from "../../../../runtime/proxy/outbound/target.ts";
import type { ApplicationOptions } from "./application.ts";
import { type Credentials, makeMesh } from "./certificates.ts";
import type { ClientResult, ClientScript } from "./client.ts";
import { type Pod, Pods } from "./pods.ts";
import type { ProxyCommand, ProxyOptions } from "./proxy.ts";

const folder = import.meta.dirname;

export const PORTS = { http: 8080, raw: 8081, greeter: 8082, opaque: 8083, http2: 8084, meshedOnly: 8085 } as const;
export const SERVICE_IP = "10.96.0.10";

export interface MeshedPod {
  readonly pod: Pod;
  readonly credentials: Credentials;
  readonly proxy: ChildProcess;
  application: ChildProcess | undefined;
}

export interface Report {
  readonly values: readonly (readonly [series: string, value: number])[];
  readonly open: { readonly inbound: number; readonly outbound: number };
}

export class TestMesh {
  readonly pods = new Pods();
  readonly #addon = this.pods.buildAddon();
  readonly #issue = makeMesh();

  async add(name: string, options: Partial<ProxyOptions> = {}): Promise<MeshedPod> {
    const pod = this.pods.add();
    pod.redirect();
    const credentials = this.#issue(`${name}.test.serviceaccount.identity.weft.cluster.local`);
    const argument: ProxyOptions = {
      credentials,
      ip: pod.ip,
      addon: this.#addon,
      verbose: process.env["WEFT_TEST_VERBOSE"] !== undefined,
      ...options,
    };
    const { child } = await pod.start(join(folder, "proxy.ts"), { uid: PROXY_UID, argument });
    return { pod, credentials, proxy: child, application: undefined };
  }

  async startApplication(meshed: MeshedPod, name: string): Promise<void> {
    const argument: ApplicationOptions = {
      name,
      http: PORTS.http,
      raw: PORTS.raw,
      greeter: [PORTS.greeter, PORTS.opaque, PORTS.meshedOnly],
      http2: PORTS.http2,
    };
    const { child } = await meshed.pod.start(join(folder, "application.ts"), { argument });
    meshed.application = child;
  }

  remove(): Promise<void> {
    return this.pods.remove();
  }
}

/** How a client reaches `to`: by transport header, as discovery says for meshed pods, or by TLS to the port itself. */
export function endpoint(
  to: MeshedPod,
  port: number,
  options: { proxyPort?: boolean; plain?: boolean; protocolHint?: Endpoint["protocolHint"] } = {},
): Endpoint {
  const { name } = to.credentials;
  return {
    address: `${to.pod.ip}:${port}`,
    ip: to.pod.ip,
    port,
    ...(options.plain ? {} : { tls: { identity: name, serverName: name } }),
    ...(options.plain || options.proxyPort === false ? {} : { proxyPort: 4143 }),
    ...(options.protocolHint === undefined ? {} : { protocolHint: options.protocolHint }),
    labels: [["dst_pod", to.pod.ip]],
  };
}

export function ask<Answer>(child: ChildProcess, command: ProxyCommand): Promise<Answer> {
  return new Promise((resolve) => {
    child.once("message", (answer) => resolve(answer as Answer));
    child.send(command);
  });
}

/** Sum of the series of `family` whose text contains every one of `labels`. */
export async function sum(child: ChildProcess, family: string, ...labels: string[]): Promise<number> {
  const { values } = await ask<Report>(child, { metrics: true });
  return values
    .filter(([series]) => series.startsWith(`${family}{`) && labels.every((label) => series.includes(label)))
    .reduce((total, [, value]) => total + value, 0);
}

/** Plays one connection from within `pod`. */
export async function play(pod: Pod, script: ClientScript): Promise<ClientResult> {
  return JSON.parse(
    await pod.run(process.execPath, [join(folder, "client.ts"), JSON.stringify(script)]),
  ) as ClientResult;
}

export function curl(pod: Pod, ...argv: string[]): Promise<string> {
  return pod.run("curl", ["--silent", "--show-error", "--max-time", "20", ...argv]);
}
