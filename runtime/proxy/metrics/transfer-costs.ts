/**
 * `outbound_tcp_transfer_cost_bytes_total` (reference 7.4): bytes to and from endpoints by whether their zone is this one. Summed up when
 * somebody asks, of what the series of connections count anyway; what is forgotten of them stays in the sum.
 */
import type { Labels } from "./series.ts";

/** What a series of connections counts. */
export interface Transferred {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export type ZoneLocality = "Local" | "Remote" | "Unknown";

interface Sum {
  recv: number;
  send: number;
}

/** @returns undefined for what are no connections to endpoints */
export function localityOf(labels: Labels): ZoneLocality | undefined {
  const value = (name: string): string | undefined => labels.find(([label]) => label === name)?.[1];
  if (value("direction") !== "outbound" || value("peer") !== "dst") return undefined;
  const told = value("dst_zone_locality");
  if (told === "local") return "Local";
  return told === "remote" ? "Remote" : "Unknown";
}

export class TransferCosts {
  readonly #counted = new Map<Transferred, ZoneLocality>();
  readonly #forgotten = new Map<ZoneLocality, Sum>();

  /** It counts, for the first time or again. */
  begin(series: Transferred, locality: ZoneLocality): void {
    if (this.#counted.has(series)) return;
    this.#counted.set(series, locality);
    this.#add(this.#forgotten, locality, -series.readBytes, -series.writtenBytes);
  }

  forget(series: Transferred): void {
    const locality = this.#counted.get(series);
    if (locality === undefined) return;
    this.#counted.delete(series);
    this.#add(this.#forgotten, locality, series.readBytes, series.writtenBytes);
  }

  /** Rendered labels, and bytes. */
  *samples(): Generator<[labels: string, bytes: number]> {
    const sums = new Map([...this.#forgotten].map(([locality, sum]) => [locality, { ...sum }]));
    for (const [{ readBytes, writtenBytes }, locality] of this.#counted)
      this.#add(sums, locality, readBytes, writtenBytes);
    for (const [locality, { recv, send }] of sums) {
      yield [`op="Recv",zone_locality="${locality}"`, recv];
      yield [`op="Send",zone_locality="${locality}"`, send];
    }
  }

  #add(sums: Map<ZoneLocality, Sum>, locality: ZoneLocality, recv: number, send: number): void {
    const sum = sums.get(locality);
    if (sum === undefined) sums.set(locality, { recv, send });
    else {
      sum.recv += recv;
      sum.send += send;
    }
  }
}
