/** What was measured once, beside the repository, against a proxy that is not built here: beside.json, as a part of REPORT.md. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LoadName, Protocol } from "./cells.ts";
import type { Row } from "./rows.ts";
import { ratio } from "./statistics.ts";

export interface Beside {
  /** Name and version. */
  readonly peer: string;
  readonly date: string;
  /** How, for whoever wants to do it again. */
  readonly how: string;
  /** Of one run; `variant` is "weft" or the peer's. */
  readonly rows: readonly (Omit<Row, "variant"> & { readonly variant: string })[];
}

/** Two proxies with mTLS, CPU: at most so many times the peer's. */
const LIMITS: readonly { protocol: Protocol; load: LoadName; what: string; limit: number }[] = [
  { protocol: "http1", load: "saturation", what: "HTTP/1.1", limit: 0.41 },
  { protocol: "http2", load: "saturation", what: "HTTP/2 of 8 × 10", limit: 0.23 },
  { protocol: "http2", load: "saturation-32x1", what: "HTTP/2 of 32 × 1", limit: 0.33 },
  { protocol: "tcp", load: "saturation", what: "TCP", limit: 0.92 },
];

/** @returns undefined where nothing was measured */
export function readBeside(folder = import.meta.dirname): Beside | undefined {
  const file = join(folder, "beside.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Beside) : undefined;
}

export interface BesideLine {
  readonly what: string;
  readonly weft: number;
  readonly peer: number;
  readonly ratio: number;
  readonly limit: number;
  readonly unit: "µs" | "ms/MB";
}

export function besideLines({ rows }: Pick<Beside, "rows">): BesideLine[] {
  return LIMITS.flatMap(({ protocol, load, what, limit }) => {
    const own = rows.filter((row) => row.protocol === protocol && row.load === load && row.topology === "mtls");
    const cpu = (wanted: (variant: string) => boolean): number | null => {
      const row = own.find(({ variant }) => wanted(variant));
      return row?.cpuMicrosPerRequest ?? row?.cpuMillisPerMegabyte ?? null;
    };
    const weft = cpu((variant) => variant === "weft");
    const peer = cpu((variant) => variant !== "weft" && variant !== "nginx" && variant !== "haproxy");
    const share = ratio(weft, peer);
    if (weft === null || peer === null || share === null) return [];
    return [{ what, weft, peer, ratio: share, limit, unit: protocol === "tcp" ? "ms/MB" : "µs" }];
  });
}
