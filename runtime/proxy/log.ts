/** The proxy's log: one line an event on stdout, plain or JSON, filtered by target as Linkerd's `LINKERD2_PROXY_LOG`. */
import { writeSync } from "node:fs";

const LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = Exclude<(typeof LEVELS)[number], "off">;

export interface Logger {
  error(message: string, cause?: unknown): void;
  warn(message: string, cause?: unknown): void;
  info(message: string): void;
  debug(message: string): void;
}

/** Longest matching target first; the empty one matches all. */
type LogFilter = readonly { readonly target: string; readonly level: number }[];

/** What holds where nothing is said, as Linkerd's. */
const DEFAULT_FILTER = "warn";

/**
 * Comma-separated `level` and `target=level`; a target matches every target that begins with it; levels in any case, or 0 (off) to 5
 * (trace). Directives on spans (`[{headers}]=off`) are accepted and say nothing here. undefined: malformed.
 */
export function parseLogFilter(text: string): LogFilter | undefined {
  const directives = new Map<string, number>();
  for (const part of text.split(",").map((directive) => directive.trim())) {
    if (part === "" || part.includes("[")) continue;
    const [left = "", right, ...more] = part.split("=");
    const bare = levelOf(left);
    const level = right === undefined ? (bare === -1 ? LEVELS.length - 1 : bare) : levelOf(right);
    if (more.length > 0 || level === -1 || !/^[\w:.-]*$/.test(left)) return undefined;
    directives.set(right === undefined && bare !== -1 ? "" : left, level);
  }
  if (directives.size === 0) directives.set("", levelOf(DEFAULT_FILTER));
  return [...directives]
    .map(([target, level]) => ({ target, level }))
    .sort((a, b) => b.target.length - a.target.length);
}

/** -1: none. */
function levelOf(name: string): number {
  return /^[0-5]$/.test(name) ? Number(name) : LEVELS.indexOf(name.toLowerCase() as LogLevel);
}

export class Log {
  readonly #format: "plain" | "json";
  #filter: LogFilter = [];
  #text = "";

  /** @param filter checked with {@link parseLogFilter} before */
  constructor(filter: string, format: "plain" | "json") {
    this.#format = format;
    this.setFilter(filter);
  }

  get filter(): string {
    return this.#text;
  }

  /** @returns false where the filter is malformed; then nothing changes */
  setFilter(text: string): boolean {
    const filter = parseLogFilter(text);
    if (filter === undefined) return false;
    this.#filter = filter;
    this.#text = text === "" ? DEFAULT_FILTER : text;
    return true;
  }

  /** @param target e.g. `linkerd_identity`: the common directive `linkerd=info` means all of this proxy's */
  logger(target: string): Logger {
    return {
      error: (message, cause) => this.#write("error", target, message, cause),
      warn: (message, cause) => this.#write("warn", target, message, cause),
      info: (message) => this.#write("info", target, message),
      debug: (message) => this.#write("debug", target, message),
    };
  }

  #write(level: LogLevel, target: string, message: string, cause?: unknown): void {
    const limit = this.#filter.find((directive) => target.startsWith(directive.target))?.level ?? 0;
    if (LEVELS.indexOf(level) > limit) return;
    const text = cause === undefined ? message : `${message}: ${describeError(cause)}`;
    writeLine(
      this.#format === "json"
        ? JSON.stringify({
            timestamp: new Date().toISOString(),
            level: level.toUpperCase(),
            fields: { message: text },
            target,
          })
        : `[${(performance.now() / 1000).toFixed(6).padStart(12)}s] ${level.toUpperCase().padStart(5)} ${target}: ${text.replaceAll("\n", " ")}`,
    );
  }
}

/** An error and its causes, in one line. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let current: unknown = error, depth = 0; current !== undefined && depth < 5; depth++) {
    parts.push(current instanceof Error ? current.message : String(current));
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ").replaceAll("\n", " ");
}

function writeLine(line: string): void {
  try {
    writeSync(1, `${line}\n`);
  } catch {
    // Nobody reads (EPIPE) or the reader is behind (EAGAIN): losing a line is better than stopping the traffic.
  }
}
