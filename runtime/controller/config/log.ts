/** One line an event: `2026-01-31T12:00:00.000Z INFO injector: injected pod=web-7d4b namespace=shop`. */

export type LogLevel = "error" | "warn" | "info" | "debug";

const ORDER: readonly LogLevel[] = ["error", "warn", "info", "debug"];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** The same log under another component's name. */
  for(component: string): Log;
}

/** `level` as WEFT_LOG_LEVEL gives it; anything else counts as `info`. */
export function createLog(
  component: string,
  level: string | undefined,
  write: (line: string) => void = (line) => void process.stdout.write(line),
): Log {
  const threshold = Math.max(ORDER.indexOf((level ?? "info") as LogLevel), -1);
  const limit = threshold === -1 ? ORDER.indexOf("info") : threshold;
  const emit = (at: LogLevel, message: string, fields: LogFields = {}): void => {
    if (ORDER.indexOf(at) > limit) return;
    const pairs = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => ` ${name}=${quote(String(value))}`)
      .join("");
    write(`${new Date().toISOString()} ${at.toUpperCase()} ${component}: ${oneLine(message)}${pairs}\n`);
  };
  return {
    error: (message, fields) => emit("error", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    info: (message, fields) => emit("info", message, fields),
    debug: (message, fields) => emit("debug", message, fields),
    for: (other) => createLog(other, level, write),
  };
}

/** The message of anything thrown, with the messages of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : ` (${messageOf(error.cause)})`;
  return `${error.message}${cause}`;
}

function quote(value: string): string {
  return /^[^\s"]+$/.test(value) ? value : JSON.stringify(value);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
