import { isIP } from "node:net";
import { parseDuration } from "../../model/duration.ts";
import { PortListError, type PortRange, parsePortRanges } from "../../model/ports.ts";
import { type Network, NetworkError, parseNetwork } from "../policy/networks.ts";
import type { Address } from "../transport/stream.ts";

/** A variable that is missing or wrong. The proxy ends with {@link EX_USAGE}, as Linkerd's does. */
export class ConfigError extends Error {
  constructor(name: string, problem: string) {
    super(`${name}: ${problem}`);
    this.name = "ConfigError";
  }
}

/** sysexits.h; what Kubernetes shows as the container's exit code. */
export const EX_USAGE = 64;

/** A host of the control plane: DNS name, with its final dot where one was given (no search path then), or an address. */
export interface ControlAddress {
  readonly host: string;
  readonly port: number;
  /** TLS identity of the server. Absent only for loopback: plain text. */
  readonly serverName?: string;
}

/** Reads one process environment; every reader throws {@link ConfigError} naming the variable. Empty counts as unset. */
export class Environment {
  readonly #variables: Readonly<Record<string, string | undefined>>;

  constructor(variables: Readonly<Record<string, string | undefined>>) {
    this.#variables = variables;
  }

  text(name: string): string | undefined {
    const value = this.#variables[name];
    return value === undefined || value === "" ? undefined : value;
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new ConfigError(name, "is required and not set");
    return value;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.text(name);
    if (value === undefined) return fallback;
    if (value === "true") return true;
    if (value === "false") return false;
    throw new ConfigError(name, `"${value}" is neither true nor false`);
  }

  integer(name: string, fallback: number): number {
    const value = this.text(name);
    if (value === undefined) return fallback;
    if (!/^\d{1,15}$/.test(value)) throw new ConfigError(name, `"${value}" is not a number`);
    return Number(value);
  }

  /** Between 0 and 1. */
  ratio(name: string, fallback: number): number {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const ratio = Number(value);
    if (!(ratio >= 0 && ratio <= 1)) throw new ConfigError(name, `"${value}" is not between 0 and 1`);
    return ratio;
  }

  /** @returns milliseconds */
  duration(name: string, fallback: number): number;
  duration(name: string): number | undefined;
  duration(name: string, fallback?: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const milliseconds = parseDuration(value);
    if (milliseconds === undefined) {
      throw new ConfigError(name, `"${value}" is not a duration (a number and ms, s, m, h or d)`);
    }
    return milliseconds;
  }

  /** @param choices in lower case, where `anyCase` is set */
  oneOf<Choice extends string>(
    name: string,
    choices: readonly Choice[],
    { anyCase = false }: { readonly anyCase?: boolean } = {},
  ): Choice | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const choice = choices.find((candidate) => candidate === (anyCase ? value.toLowerCase() : value));
    if (choice === undefined) throw new ConfigError(name, `"${value}" is none of ${choices.join(", ")}`);
    return choice;
  }

  list(name: string): string[] {
    return (this.text(name) ?? "")
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
  }

  ports(name: string): PortRange[] {
    try {
      return parsePortRanges(this.text(name) ?? "");
    } catch (error) {
      if (error instanceof PortListError) throw new ConfigError(name, error.message);
      throw error;
    }
  }

  networks(name: string): Network[] {
    return this.list(name).map((text) => {
      try {
        return parseNetwork(text);
      } catch (error) {
        if (error instanceof NetworkError) throw new ConfigError(name, error.message);
        throw error;
      }
    });
  }

  ips(name: string): string[] {
    return this.list(name).map((text) => {
      if (isIP(text) === 0) throw new ConfigError(name, `"${text}" is not an IP address`);
      return text;
    });
  }

  /** One address to listen on, `ip:port`. */
  address(name: string, fallback: Address): Address {
    const value = this.text(name);
    return value === undefined ? fallback : readAddress(name, value);
  }

  addresses(name: string): Address[] {
    return this.list(name).map((text) => readAddress(name, text));
  }

  /** `<base>_ADDR` and `<base>_NAME`. */
  controlAddress(base: string): ControlAddress | undefined {
    const address = this.text(`${base}_ADDR`);
    const serverName = this.text(`${base}_NAME`);
    if (address === undefined) {
      if (serverName !== undefined) throw new ConfigError(`${base}_ADDR`, `is not set although ${base}_NAME is`);
      return undefined;
    }
    const match = /^(.+):(\d{1,5})$/.exec(address);
    // Resolvers know `localhost` from a file, and only without the dot.
    const host = (match?.[1] ?? "").replace(/^\[(.*)\]$/, "$1").replace(/^localhost\.$/, "localhost");
    const port = Number(match?.[2]);
    if (host === "" || !isPort(port) || !/^[\w.:-]+$/.test(host)) {
      throw new ConfigError(`${base}_ADDR`, `"${address}" is neither name:port nor ip:port`);
    }
    if (serverName === undefined && !isLoopback(host)) {
      throw new ConfigError(
        `${base}_NAME`,
        `is required: ${host} is not loopback, and only loopback may be plain text`,
      );
    }
    return serverName === undefined ? { host, port } : { host, port, serverName };
  }

  requiredControlAddress(base: string): ControlAddress {
    const address = this.controlAddress(base);
    if (address === undefined) throw new ConfigError(`${base}_ADDR`, "is required and not set");
    return address;
  }
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function readAddress(name: string, text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const ip = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  // Port 0 lets the kernel choose: tests and several proxies on one host.
  if (isIP(ip) === 0 || (!isPort(port) && port !== 0)) throw new ConfigError(name, `"${text}" is not ip:port`);
  return { ip, port };
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65535;
}
