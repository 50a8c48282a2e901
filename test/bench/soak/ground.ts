/** Where the soak takes place: a namespace with origins, a control plane and two sidecars with mTLS between them, as injected. */
import type { ChildProcess, StdioOptions } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROXY_UID } from "../../../runtime/model/names.ts";
import { CLIENT_NAME, SERVER_NAME } from "../cells.ts";
import { firstMessage } from "../support/first-message.ts";
import { BenchNamespace, listening, SERVER_IP, SERVICE_IP } from "../support/namespace.ts";
import type { PlaneScript, PlaneStarted } from "../support/plane.ts";
import { sidecarCommand } from "../support/weft.ts";
import type { LoadCounts, LoadRates } from "./counts.ts";
import { LARGE, SLOW_LENGTH, SMALL } from "./payload.ts";
import { ORIGIN_PORT, ORIGINS } from "./ports.ts";

export const SIDES = ["outbound", "inbound"] as const;
export type Side = (typeof SIDES)[number];

const OUTBOUND_PORT = 4_140;
const INBOUND_PORT = 4_143;
export const ADMIN_PORT: Readonly<Record<Side, number>> = { outbound: 4_191, inbound: 4_291 };
/** Of a handed-out slow body, bytes a second. */
const SLOW_RATE = 262_144;

export class Ground {
  readonly space = new BenchNamespace(`weft-soak-${process.pid}`);
  readonly #folder = mkdtempSync(join(tmpdir(), "weft-soak-"));
  readonly #proxies = new Map<Side, ChildProcess>();

  constructor() {
    chmodSync(this.#folder, 0o777);
  }

  /** @param leafLifeMs of the proxies' leaves: they renew at 70 % of it */
  async start(leafLifeMs: number): Promise<void> {
    const { space } = this;
    space.start("nginx", ["-c", this.#nginx()], { stdio: ["ignore", "ignore", "inherit"] });
    space.start("nghttpd", this.#nghttpd(), { stdio: ["ignore", "ignore", "inherit"] });
    const origin = space.start(process.execPath, [join(import.meta.dirname, "origin.ts")], { stdio: IPC });
    await firstMessage(origin, "the origin");
    const script: PlaneScript = {
      services: ORIGINS.map((origin) => ({
        address: `${SERVICE_IP}:${ORIGIN_PORT[origin]}`,
        name: origin,
        opaque: origin === "tcp",
        endpoint: {
          ip: SERVER_IP,
          port: ORIGIN_PORT[origin],
          identity: SERVER_NAME,
          proxyPort: INBOUND_PORT,
          hint: origin === "tcp" ? "opaque" : "h2",
        },
      })),
      inboundPorts: Object.values(ORIGIN_PORT),
      leaves: [],
      leafLifeMs,
    };
    const plane = space.start(
      process.execPath,
      [join(import.meta.dirname, "../support/plane.ts"), JSON.stringify(script)],
      { stdio: IPC },
    );
    const started = (await firstMessage(plane, "the control plane")) as PlaneStarted;
    for (const side of SIDES) this.#proxies.set(side, await this.#startProxy(side, started));
    const ports = Object.values(ORIGIN_PORT).toSorted((a, b) => a - b);
    space.redirect(`${ports[0]}:${ports.at(-1)}`, OUTBOUND_PORT, PROXY_UID);
  }

  /** @throws Error where the proxy is gone */
  pid(side: Side): number {
    const child = this.#proxies.get(side);
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the ${side} proxy ended (${child?.exitCode ?? child?.signalCode}): see its output above`);
    return child.pid;
  }

  /** What the proxy's own /metrics say. */
  metrics(side: Side): string {
    return this.space.run("curl", "-sf", "--max-time", "10", `http://127.0.0.1:${ADMIN_PORT[side]}/metrics`);
  }

  load(rates: LoadRates): SoakLoad {
    const argv = [join(import.meta.dirname, "load.ts"), JSON.stringify(rates)];
    return new SoakLoad(this.space.start(process.execPath, argv, { stdio: IPC }));
  }

  end(): void {
    this.space.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #startProxy(side: Side, plane: PlaneStarted): Promise<ChildProcess> {
    const client = side === "outbound";
    const folder = join(this.#folder, side);
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    const other = client ? 0 : 100;
    const { argv, env } = sidecarCommand({
      folder,
      plane,
      name: client ? CLIENT_NAME : SERVER_NAME,
      ip: client ? "10.99.2.1" : SERVER_IP,
      ports: {
        inbound: client ? 4_343 : INBOUND_PORT,
        outbound: client ? OUTBOUND_PORT : 4_240,
        admin: ADMIN_PORT[side],
        tap: 4_190 + other,
      },
      inboundPorts: client ? [] : Object.values(ORIGIN_PORT),
    });
    const child = this.space.start(process.execPath, argv, {
      uid: PROXY_UID,
      env,
      stdio: ["ignore", "ignore", "inherit"],
    });
    await listening(child, client ? OUTBOUND_PORT : INBOUND_PORT, `the ${side} proxy`);
    return child;
  }

  /** No echo of Node's: its HTTP/2 server, asked by one connection for all, loses memory with uploads that are given up, and stalls. */
  #nghttpd(): string[] {
    return [...["--no-tls", "--echo-upload", "--trailer", "grpc-status: 0"], String(ORIGIN_PORT.echo2)];
  }

  #nginx(): string {
    const folder = join(this.#folder, "nginx");
    for (const name of [folder, join(folder, "www")]) {
      mkdirSync(name);
      chmodSync(name, 0o777);
    }
    writeFileSync(join(folder, "www/small"), SMALL);
    writeFileSync(join(folder, "www/large"), LARGE);
    writeFileSync(join(folder, "www/slow"), Buffer.alloc(SLOW_LENGTH, "slow"));
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const server = (listen: string): string =>
      `server { listen ${listen}; root ${folder}/www; location = /slow { limit_rate ${SLOW_RATE}; } }`;
    // keepalive_requests stays as it is: nginx ends a connection after 1,000 requests, by close or GOAWAY.
    writeFileSync(
      join(folder, "nginx.conf"),
      `daemon off; worker_processes 1; user root; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; tcp_nodelay on; default_type text/plain; ${temporary.join(" ")}
  ${server(String(ORIGIN_PORT.nginx1))}
  ${server(`${ORIGIN_PORT.nginx2} http2`)}
}
`,
    );
    return join(folder, "nginx.conf");
  }
}

const IPC: StdioOptions = ["ignore", "inherit", "inherit", "ipc"];

export class SoakLoad {
  readonly #child: ChildProcess;
  #counts: LoadCounts | undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (message) => {
      this.#counts = message as LoadCounts;
    });
  }

  /** A second old at most. @throws Error where the load is gone, or has not begun */
  get counts(): LoadCounts {
    if (this.#counts === undefined) throw new Error("the load has told nothing");
    if (this.#child.exitCode !== null && this.#child.exitCode !== 0)
      throw new Error(`the load ended with ${this.#child.exitCode}: see its output above`);
    return this.#counts;
  }

  /** Lets what is under way end. */
  async stop(): Promise<LoadCounts> {
    const ended = once(this.#child, "exit");
    this.#child.send("stop");
    await ended;
    return this.counts;
  }
}
