/** The rows that the page knows: the newest so many, those that the filter lets through, and what a pause holds back. */
import type { TapRow } from "../../extension/panels/tap-messages.ts";
import { parseFilter, type RowFilter } from "./filter.ts";

export class RowStore {
  #capacity: number;
  #rows: TapRow[] = [];
  #shown: TapRow[] = [];
  #filter: RowFilter = () => true;
  #paused = false;
  #held = 0;
  #droppedShown = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** All that pass the filter, oldest first; while paused, those of the moment of the pause. */
  get shown(): readonly TapRow[] {
    return this.#shown;
  }

  get size(): number {
    return this.#rows.length;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Rows that came since the pause. */
  get held(): number {
    return this.#held;
  }

  reset(capacity: number, rows: readonly TapRow[]): void {
    this.#capacity = capacity;
    this.#rows = rows.slice(-capacity);
    this.#held = 0;
    this.#show();
  }

  add(rows: readonly TapRow[]): void {
    for (const row of rows) this.#rows.push(row);
    const over = this.#rows.length - this.#capacity;
    if (over > 0) this.#rows.splice(0, over);
    if (this.#paused) {
      this.#held += rows.length;
      return;
    }
    for (const row of rows) if (this.#filter(row)) this.#shown.push(row);
    if (over > 0) this.#forgetShown();
  }

  #forgetShown(): void {
    const oldest = this.#rows[0]?.seq ?? 0;
    let gone = 0;
    while ((this.#shown[gone]?.seq ?? Number.POSITIVE_INFINITY) < oldest) gone++;
    if (gone > 0) this.#shown.splice(0, gone);
    this.#droppedShown += gone;
  }

  /** How many rows at the top went since the last call: the list moves with them. */
  takeDropped(): number {
    const dropped = this.#droppedShown;
    this.#droppedShown = 0;
    return dropped;
  }

  filter(text: string): void {
    this.#filter = parseFilter(text);
    this.#show();
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    this.#held = 0;
    if (!paused) this.#show();
  }

  clear(): void {
    this.#rows = [];
    this.#held = 0;
    this.#show();
  }

  #show(): void {
    this.#shown = this.#rows.filter(this.#filter);
    this.#droppedShown = 0;
  }
}

export function isFailure({ status, grpcStatus }: TapRow): boolean {
  return status === undefined || status >= 500 || (grpcStatus !== undefined && grpcStatus !== 0);
}
