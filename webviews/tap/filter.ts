/**
 * The filter's language: words that must all match. `status:5xx`, `status:404`, `method:POST`, `path:/api`, `from:load`,
 * `to:store`, `tls:no`, `latency>100`, `latency<5`; anything else is looked for in every column; `-word` must not match.
 */
import type { TapRow } from "../../extension/panels/tap-messages.ts";

export type RowFilter = (row: TapRow) => boolean;

export function parseFilter(text: string): RowFilter {
  const tests = text.split(/\s+/).filter(Boolean).map(parseWord);
  return (row) => tests.every((test) => test(row));
}

function parseWord(word: string): RowFilter {
  if (word.length > 1 && word.startsWith("-")) {
    const test = parseWord(word.slice(1));
    return (row) => !test(row);
  }
  const latency = /^latency([<>])(\d+(?:\.\d+)?)$/i.exec(word);
  if (latency !== null) return latencyTest(latency[1] === ">", Number(latency[2]));
  const colon = word.indexOf(":");
  const field = FIELDS[word.slice(0, colon).toLowerCase()];
  const value = word.slice(colon + 1).toLowerCase();
  if (colon > 0 && field !== undefined) return value === "" ? () => true : (row) => field(row, value);
  const wanted = word.toLowerCase();
  return (row) => textOf(row).includes(wanted);
}

function latencyTest(above: boolean, limit: number): RowFilter {
  return ({ latencyMs }) => latencyMs !== undefined && (above ? latencyMs > limit : latencyMs < limit);
}

const contains = (text: string, value: string): boolean => text.toLowerCase().includes(value);

const FIELDS: Readonly<Record<string, (row: TapRow, value: string) => boolean>> = {
  status: ({ status }, value) =>
    /^\dxx$/.test(value) ? String(status ?? "").charAt(0) === value.charAt(0) : String(status ?? "none") === value,
  grpc: ({ grpcStatus }, value) => String(grpcStatus ?? "none") === value,
  method: ({ method }, value) => method.toLowerCase() === value,
  path: ({ path }, value) => contains(path, value),
  from: ({ source }, value) => contains(source, value),
  to: ({ destination }, value) => contains(destination, value),
  tls: ({ tls }, value) => (tls === "true") === /^(yes|true|y|1)$/.test(value),
};

function textOf({ source, destination, method, path, status }: TapRow): string {
  return `${source} ${destination} ${method} ${path} ${status ?? ""}`.toLowerCase();
}
