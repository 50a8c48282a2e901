/** When a soak is flat, as arithmetic over its samples. */
import { median } from "../statistics.ts";
import type { LoadCounts, LoadRates } from "./counts.ts";
import type { Side } from "./ground.ts";
import type { ProxySample } from "./sample.ts";

export interface SoakSample {
  /** Seconds since the load began. */
  readonly at: number;
  readonly load: LoadCounts;
  readonly proxies: Readonly<Record<Side, ProxySample>>;
}

export interface Check {
  readonly what: string;
  readonly passed: boolean;
  readonly why: string;
}

export type Watched = "anonymousKiB" | "rssKiB" | "fds" | "series";

/**
 * What a figure may grow between the two windows: so much of itself, or so much, whichever is more. 1 MiB in the forty minutes between the
 * windows of an hour are 0.2 bytes for each of 4.8 million requests, 22 bytes for each of 48,000 connections: less than anything that could
 * be kept of either. File descriptors follow how many connections happen to be open; a series more is one too many, but a label's value
 * may be rare.
 */
export const ALLOWED: Readonly<Record<Watched, { readonly share: number; readonly least: number }>> = {
  anonymousKiB: { share: 0.03, least: 1_024 },
  rssKiB: { share: 0.03, least: 1_024 },
  fds: { share: 0.05, least: 8 },
  series: { share: 0, least: 5 },
};

/** Of the whole length: the second sixth is what the last one is held to. The first sixth is for caches and code to warm up. */
const BASE = { from: 1 / 6, to: 2 / 6 } as const;
const LAST = { from: 5 / 6, to: 1 } as const;
/** Of the requests that were due, as many were sent at least: the first seconds are a ramp, and others may use the machine. */
const REACHED = 0.95;

export interface Growth {
  readonly base: number;
  readonly last: number;
  readonly allowed: number;
  /** Theil–Sen slope from the base window's begin to the end, an hour. */
  readonly anHour: number;
}

/** @param seconds how long the load went */
export function growthOf(samples: readonly SoakSample[], seconds: number, side: Side, figure: Watched): Growth {
  const within = ({ from, to }: { from: number; to: number }): SoakSample[] =>
    samples.filter(({ at }) => at > from * seconds && at <= to * seconds + 1);
  const values = (some: readonly SoakSample[]): number[] => some.map(({ proxies }) => proxies[side][figure]);
  const base = median(values(within(BASE)));
  const last = median(values(within(LAST)));
  const { share, least } = ALLOWED[figure];
  const points = within({ from: BASE.from, to: LAST.to }).map(
    ({ at, proxies }) => [at / 3_600, proxies[side][figure]] as const,
  );
  return { base, last, allowed: Math.max(base * share, least), anHour: slope(points) };
}

/** Theil–Sen: the median of the slopes of all pairs. NaN of fewer than two points. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const slopes: number[] = [];
  for (const [at, [x, y]] of points.entries())
    for (const [laterX, laterY] of points.slice(at + 1)) slopes.push((laterY - y) / (laterX - x));
  return median(slopes);
}

/** @param quiet figures before the load and a while after it */
export function checksOf(
  samples: readonly SoakSample[],
  seconds: number,
  rates: LoadRates,
  quiet: { readonly before: Readonly<Record<Side, ProxySample>>; readonly after: Readonly<Record<Side, ProxySample>> },
): Check[] {
  const { load } = samples.at(-1) ?? {};
  if (load === undefined) return [{ what: "samples", passed: false, why: "there are none" }];
  const failed = load.http1.failed + load.http2.failed + load.tcp.failed;
  const sent = [load.http1, load.http2].reduce((total, one) => total + one.done + one.cancelled + one.failed, 0);
  const due = (rates.http1 + rates.http2) * seconds;
  const checks: Check[] = [
    { what: "nothing failed that the load did not give up", passed: failed === 0, why: `${failed} failed` },
    {
      what: "the load was what it should be",
      passed: sent >= REACHED * due,
      why: `${Math.round(sent / seconds)} requests/s of ${rates.http1 + rates.http2}`,
    },
  ];
  for (const side of ["outbound", "inbound"] as const) {
    for (const figure of ["anonymousKiB", "rssKiB", "fds", "series"] as const) {
      const { base, last, allowed } = growthOf(samples, seconds, side, figure);
      checks.push({
        what: `${side}: ${figure} is flat`,
        passed: last - base <= allowed,
        why: `${round(base)} → ${round(last)}, ${round(last - base)} more where ${round(allowed)} are allowed`,
      });
    }
    const [before, after] = [quiet.before[side].fds, quiet.after[side].fds];
    checks.push({
      what: `${side}: no file descriptor is left when the load is over`,
      passed: after <= before + QUIET_FDS,
      why: `${before} before, ${after} after`,
    });
  }
  return checks;
}

/** The connections to the control plane are made anew at times. */
const QUIET_FDS = 4;

const round = (value: number): number => Math.round(value * 10) / 10;
