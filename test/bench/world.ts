/** Where the bench takes place: a namespace with the server, the control plane and the redirects; everything in it ends with it. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROXY_UID } from "../../runtime/model/names.ts";
import {
  CLIENT_NAME,
  PROTOCOLS,
  type Protocol,
  portsOf,
  SERVER_NAME,
  SERVER_PORT,
  TOPOLOGIES,
  type Topology,
  VARIANTS,
} from "./cells.ts";
import { firstMessage } from "./support/first-message.ts";
import { BenchNamespace, listening, SERVER_IP, SERVICE_IP } from "./support/namespace.ts";
import { compileNative, type NativePrograms } from "./support/native.ts";
import type { PlaneScript, PlaneService, PlaneStarted } from "./support/plane.ts";

export interface WorldOptions {
  /** What endpoints of HTTP say of their proxies: `h2` as a control plane does, `none` as before there was HTTP/2 between proxies. */
  readonly hint: "h2" | "none";
}

/** Services beyond those measured: each gives a client's proxy some fifty series. */
export const EXTRA_SERVICES = 48;
/** Their ports at the Services' address, from here on. */
export const EXTRA_PORT = 12_000;

export class World {
  readonly folder: string;
  readonly space: BenchNamespace;
  readonly native: NativePrograms;
  readonly #options: WorldOptions;
  #plane: PlaneStarted | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(tmpdir(), "weft-bench-"));
    chmodSync(this.folder, 0o777);
    this.native = compileNative(this.folder);
    this.space = new BenchNamespace(`weft-bench-${process.pid}`);
  }

  get plane(): PlaneStarted {
    if (this.#plane === undefined) throw new Error("the world was not started");
    return this.#plane;
  }

  async start(): Promise<void> {
    const { space, native } = this;
    const server = space.start(native.backend, [SERVER_IP, ...Object.values(SERVER_PORT).map(String)]);
    await listening(server, SERVER_PORT.tcp, "the server");
    const script: PlaneScript = {
      services: [...this.#services(), ...extraServices()],
      inboundPorts: Object.values(SERVER_PORT),
      leaves: [SERVER_NAME, CLIENT_NAME],
    };
    const plane = space.start(
      process.execPath,
      [join(import.meta.dirname, "support/plane.ts"), JSON.stringify(script)],
      {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      },
    );
    this.#plane = (await firstMessage(plane, "the control plane")) as PlaneStarted;
    for (const name of script.leaves) this.#writeTls(name);
    writeFileSync(join(this.folder, "ca.crt"), this.#plane.anchorsPem, { mode: 0o644 });
    for (const protocol of PROTOCOLS)
      for (const topology of TOPOLOGIES)
        for (const variant of VARIANTS) {
          const { service, outbound } = portsOf(protocol, topology, variant);
          space.redirect(String(service), outbound, PROXY_UID);
        }
    const extra = `${EXTRA_PORT}:${EXTRA_PORT + EXTRA_SERVICES - 1}`;
    space.redirect(extra, portsOf("http1", "plain", "weft").outbound, PROXY_UID);
  }

  /** PEM paths of a leaf for peers that ask no control plane. */
  tls(name: string): { certificate: string; key: string; pair: string; anchors: string; peerName: string } {
    const file = (ending: string): string => join(this.folder, `${name.split(".")[0]}.${ending}`);
    return {
      certificate: file("crt"),
      key: file("key"),
      pair: file("pem"),
      anchors: join(this.folder, "ca.crt"),
      peerName: name === SERVER_NAME ? CLIENT_NAME : SERVER_NAME,
    };
  }

  /** A folder of a process's own, writable for it. */
  folderOf(name: string): string {
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o777);
    return folder;
  }

  /** Ends all that was started, however far the start came. */
  end(): void {
    this.space.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #writeTls(name: string): void {
    const leaf = this.plane.leaves[name];
    if (leaf === undefined) throw new Error(`the control plane made no leaf for ${name}`);
    const { certificate, key, pair } = this.tls(name);
    for (const [file, text] of [
      [certificate, leaf.chain],
      [key, leaf.key],
      [pair, leaf.chain + leaf.key],
    ] as const) {
      // Proxies run as another user.
      writeFileSync(file, text, { mode: 0o644 });
    }
  }

  #services(): PlaneService[] {
    return PROTOCOLS.flatMap((protocol) => TOPOLOGIES.map((topology) => this.#service(protocol, topology)));
  }

  #service(protocol: Protocol, topology: Topology): PlaneService {
    const ports = portsOf(protocol, topology, "weft");
    const hint: "h2" | "opaque" | undefined =
      protocol === "tcp" ? "opaque" : this.#options.hint === "h2" ? "h2" : undefined;
    const meshed = { identity: SERVER_NAME, proxyPort: ports.inbound, ...(hint === undefined ? {} : { hint }) };
    return {
      address: `${SERVICE_IP}:${ports.service}`,
      name: `${protocol}-${topology}`,
      opaque: protocol === "tcp",
      endpoint: { ip: SERVER_IP, port: SERVER_PORT[protocol], ...(topology === "mtls" ? meshed : {}) },
    };
  }
}

function extraServices(): PlaneService[] {
  return Array.from({ length: EXTRA_SERVICES }, (_, index) => ({
    address: `${SERVICE_IP}:${EXTRA_PORT + index}`,
    name: `extra-${index}`,
    opaque: false,
    endpoint: { ip: SERVER_IP, port: SERVER_PORT.http1 },
  }));
}
