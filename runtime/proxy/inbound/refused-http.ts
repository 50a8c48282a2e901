/** HTTP on a connection to the proxy itself that leads nowhere: every request gets the same answer. */
import type { Audience, Refusal } from "../http/failure.ts";
import type { Choice, HttpService } from "../http/service.ts";
import type { Labels, ProxyMetrics, TcpSeries } from "../metrics/series.ts";

const NOTHING = Buffer.alloc(0);

export interface RefusedHttpOptions {
  readonly refusal: Refusal;
  readonly tcp: TcpSeries;
  readonly metrics: ProxyMetrics;
  /** Of inbound_http_errors_total. */
  readonly labels: Labels;
  readonly onClosed: () => void;
}

export class RefusedHttp implements HttpService {
  /** Only proxies of the mesh come here. */
  readonly audience: Audience = { meshed: true, informed: true };
  readonly requestLines = NOTHING;
  readonly tcp: TcpSeries;
  readonly observed = false;
  readonly #options: RefusedHttpOptions;

  constructor(options: RefusedHttpOptions) {
    this.#options = options;
    this.tcp = options.tcp;
  }

  choose(): Choice {
    return this.#options.refusal;
  }

  again(): Choice {
    return this.#options.refusal;
  }

  refused({ error }: Refusal): void {
    const { metrics, labels } = this.#options;
    if (error !== undefined) metrics.counter("inbound_http_errors_total", [["error", error], ...labels]).add();
  }

  observe(): undefined {
    return undefined;
  }

  closed(): void {
    this.#options.onClosed();
  }
}
