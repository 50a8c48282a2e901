import { type Place, Series, SeriesFamily } from "./family.ts";
import type { Retention } from "./retention.ts";
import type { TcpSeries } from "./series.ts";
import { joinLabels, renderSample } from "./text.ts";
import { localityOf, TransferCosts, type ZoneLocality } from "./transfer-costs.ts";

type Figure = "openTotal" | "open" | "readBytes" | "writtenBytes";

/** `tcp_open_total`, `tcp_open_connections`, `tcp_read_bytes_total`, `tcp_write_bytes_total`, `tcp_close_total`. */
export class TcpFamily extends SeriesFamily<ConnectionSeries> {
  readonly #costs: TransferCosts;

  constructor(retention: Retention) {
    const costs = new TransferCosts();
    super(retention, (rendered, place, labels) => new ConnectionSeries(rendered, place, costs, localityOf(labels)));
    this.#costs = costs;
  }

  /** `outbound_tcp_transfer_cost_bytes_total`. */
  *transferCosts(name: string): Generator<string> {
    for (const [labels, bytes] of this.#costs.samples()) yield renderSample(name, labels, bytes);
  }

  *figure(name: string, figure: Figure): Generator<string> {
    for (const series of this.all()) yield renderSample(name, series.labels, series[figure]);
  }

  *closes(name: string): Generator<string> {
    for (const series of this.all()) {
      for (const [errno, count] of series.closes) {
        yield renderSample(name, joinLabels(series.labels, `errno="${errno}"`), count);
      }
    }
  }
}

class ConnectionSeries extends Series implements TcpSeries {
  readonly closes = new Map<string, number>();
  openTotal = 0;
  open = 0;
  readBytes = 0;
  writtenBytes = 0;
  readonly #costs: TransferCosts;
  readonly #locality: ZoneLocality | undefined;

  constructor(labels: string, place: Place, costs: TransferCosts, locality: ZoneLocality | undefined) {
    super(labels, place);
    this.#costs = costs;
    this.#locality = locality;
  }

  override restore(): void {
    super.restore();
    if (this.#locality !== undefined) this.#costs.begin(this, this.#locality);
  }

  override forget(): void {
    super.forget();
    this.#costs.forget(this);
  }

  override get busy(): boolean {
    return this.open > 0;
  }

  opened(): void {
    this.used();
    this.openTotal++;
    this.open++;
  }

  closed(errno: string): void {
    this.used();
    this.open--;
    this.closes.set(errno, (this.closes.get(errno) ?? 0) + 1);
  }

  read(bytes: number): void {
    this.used();
    this.readBytes += bytes;
  }

  wrote(bytes: number): void {
    this.used();
    this.writtenBytes += bytes;
  }
}
