/**
 * Names of the control plane, resolved as Linkerd's proxy does it (reference 4.3, 14): SRV first, whose targets tell addresses by their
 * first label (`10-1-2-3.…`), as those of headless Services do; A and AAAA otherwise. Asked by ourselves, because Node tells no lives of
 * SRV records, and getaddrinfo of none. Queries go by /etc/resolv.conf, and /etc/hosts comes before addresses of DNS.
 */
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Address } from "../transport/stream.ts";
import { type DnsAnswer, encodeQuery, type RecordType, readAnswer, recordType, responseCode } from "./dns-message.ts";

export interface ResolverOptions {
  /** DNS_MIN_TTL, DNS_MAX_TTL: bounds of what answers say of their life, milliseconds. */
  readonly minTtlMs?: number | undefined;
  readonly maxTtlMs?: number | undefined;
  /** Told of each look-up, for `control_dns_resolutions_total`. */
  readonly onResolved?: (type: "SRV" | "A/AAAA", result: "ok" | "not_found") => void;
  /** Defaults: /etc/resolv.conf, /etc/hosts. Read for each look-up: they are small, and look-ups rare. */
  readonly configFile?: string;
  readonly hostsFile?: string;
  /** Port of the servers that `configFile` names. Default 53. */
  readonly serverPort?: number;
}

export interface Resolution {
  readonly addresses: readonly Address[];
  /** How long they may be used. */
  readonly ttlMs: number;
}

/** Shorter lives are not believed, as Linkerd has it: nobody should be asked all the time. */
const LEAST_TTL_MS = 5_000;
const HOSTS_TTL_MS = 60_000;
/** How long each server may take, in the first round and in the second. */
const PATIENCE_MS = [1_000, 3_000];
const DNS_PORT = 53;

interface SystemConfig {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly ndots: number;
}

export class Resolver {
  readonly #options: ResolverOptions;

  constructor(options: ResolverOptions = {}) {
    this.#options = options;
  }

  /**
   * @param host with a final dot: no search path. @param port where SRV records say no other
   * Rejects with Error naming what was asked, or with the signal's reason.
   */
  async resolve(host: string, port: number, signal: AbortSignal): Promise<Resolution> {
    const config = readSystemConfig(readText(this.#options.configFile ?? "/etc/resolv.conf"));
    const names = candidates(host, config);
    const service = await this.#services(names, port, config, signal).catch(() => undefined);
    signal.throwIfAborted();
    this.#options.onResolved?.("SRV", service === undefined ? "not_found" : "ok");
    if (service !== undefined) return service;
    try {
      const found = this.#hosts(host, port) ?? (await this.#addresses(names, port, config, signal));
      this.#options.onResolved?.("A/AAAA", "ok");
      return found;
    } catch (error) {
      if (!signal.aborted) this.#options.onResolved?.("A/AAAA", "not_found");
      throw error;
    }
  }

  async #services(
    names: readonly string[],
    port: number,
    config: SystemConfig,
    signal: AbortSignal,
  ): Promise<Resolution | undefined> {
    for (const name of names) {
      const { records, ttlSeconds } = await this.#ask(name, recordType.srv, config, signal);
      if (records.length === 0) continue;
      const all = records.map((record) => (record.kind === "service" ? addressOf(record) : undefined));
      const addresses = all.filter((address) => address !== undefined);
      // Of a Service with an address of its own it names only itself.
      if (addresses.length < all.length) return undefined;
      // A Service may have other ports than ours.
      const ours = addresses.filter((address) => address.port === port);
      return { addresses: ours.length > 0 ? ours : addresses, ttlMs: this.#life(ttlSeconds) };
    }
    return undefined;
  }

  async #addresses(
    names: readonly string[],
    port: number,
    config: SystemConfig,
    signal: AbortSignal,
  ): Promise<Resolution> {
    for (const name of names) {
      for (const type of [recordType.a, recordType.aaaa]) {
        const { records, ttlSeconds } = await this.#ask(name, type, config, signal);
        const addresses = records.flatMap((record) => (record.kind === "address" ? [{ ip: record.ip, port }] : []));
        if (addresses.length > 0) return { addresses, ttlMs: this.#life(ttlSeconds) };
      }
    }
    throw new Error(`DNS knows no ${names.join(", ")}`);
  }

  #hosts(host: string, port: number): Resolution | undefined {
    const name = host.replace(/\.$/, "").toLowerCase();
    const addresses = readText(this.#options.hostsFile ?? "/etc/hosts")
      .split("\n")
      .map((line) => line.replace(/#.*/, "").trim().split(/\s+/))
      .filter(([ip = "", ...known]) => isIP(ip) !== 0 && known.some((one) => one.toLowerCase() === name))
      .map(([ip = ""]) => ({ ip, port }));
    return addresses.length === 0 ? undefined : { addresses, ttlMs: HOSTS_TTL_MS };
  }

  #life(ttlSeconds: number): number {
    const { minTtlMs = 0, maxTtlMs = Number.POSITIVE_INFINITY } = this.#options;
    return Math.max(LEAST_TTL_MS, Math.min(maxTtlMs, Math.max(minTtlMs, ttlSeconds * 1_000)));
  }

  /** @throws Error where no server could say whether there is such a name */
  async #ask(name: string, type: RecordType, { servers }: SystemConfig, signal: AbortSignal): Promise<DnsAnswer> {
    const { askUdp, askTcp } = await import("./dns-transport.ts");
    const port = this.#options.serverPort ?? DNS_PORT;
    let problem = "resolv.conf names no server";
    for (const withinMs of PATIENCE_MS) {
      for (const server of servers) {
        const query = encodeQuery(randomInt(2 ** 16), name, type);
        if (query === undefined) throw new Error(`"${name}" is no name of DNS`);
        const exchange = { server: { ip: server, port }, query, withinMs, signal, read: readAnswer };
        try {
          const short = await askUdp(exchange);
          const answer = short.truncated ? await askTcp(exchange) : short;
          if (answer.code === responseCode.noError || answer.code === responseCode.nameError) return answer;
          problem = `${server} answers with code ${answer.code}`;
        } catch (error) {
          signal.throwIfAborted();
          problem = (error as Error).message;
        }
      }
    }
    throw new Error(`${name} cannot be looked up: ${problem}`);
  }
}

/** The address that a target's first label tells. */
function addressOf({ target, port }: { readonly target: string; readonly port: number }): Address | undefined {
  const [label = ""] = target.split(".");
  const ip = [label.replaceAll("-", "."), label.replaceAll("-", ":")].find((text) => isIP(text) !== 0);
  return ip === undefined ? undefined : { ip, port };
}

/** resolv.conf(5). */
function readSystemConfig(text: string): SystemConfig {
  const servers: string[] = [];
  let search: string[] = [];
  let ndots = 1;
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && isIP(values[0] ?? "") !== 0) servers.push(values[0] ?? "");
    else if (keyword === "search" || keyword === "domain") search = values.map((domain) => domain.replace(/\.$/, ""));
    else if (keyword === "options") {
      const dots = values.map((option) => /^ndots:(\d+)$/.exec(option)?.[1]).find((found) => found !== undefined);
      if (dots !== undefined) ndots = Number(dots);
    }
  }
  return { servers: servers.length === 0 ? ["127.0.0.1"] : servers.slice(0, 3), search, ndots };
}

function candidates(host: string, { search, ndots }: SystemConfig): string[] {
  if (host.endsWith(".")) return [host.slice(0, -1)];
  const searched = search.filter((domain) => domain !== "").map((domain) => `${host}.${domain}`);
  return host.split(".").length > ndots ? [host, ...searched] : [...searched, host];
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
