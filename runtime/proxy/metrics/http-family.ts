import { escapeLabelValue } from "../../prometheus/labels.ts";
import { Series, SeriesFamily } from "./family.ts";
import { LatencyHistogram } from "./histogram.ts";
import type { Retention } from "./retention.ts";
import type { HttpSeries } from "./series.ts";
import { joinLabels, renderSample } from "./text.ts";

/** Responses that ended alike. */
interface Responses {
  readonly status: number;
  readonly failure: boolean;
  readonly grpcStatus: number | undefined;
  readonly error: string;
  readonly labels: string;
  readonly latency: Latency;
  count: number;
}

interface Latency {
  readonly labels: string;
  readonly histogram: LatencyHistogram;
}

/** `request_total`, `response_total`, `response_latency_ms`, or the same with a prefix (`control_`, `route_`). */
export class HttpFamily extends SeriesFamily<ExchangeSeries> {
  constructor(retention: Retention) {
    super(retention, (labels, place) => new ExchangeSeries(labels, place));
  }

  *requests(name: string): Generator<string> {
    for (const series of this.all()) yield renderSample(name, series.labels, series.requests);
  }

  *responses(name: string): Generator<string> {
    for (const series of this.all()) {
      for (const responses of series.responses) yield renderSample(name, responses.labels, responses.count);
    }
  }

  *latencies(name: string): Generator<string> {
    for (const series of this.all()) {
      for (const { histogram, labels } of series.latencies) yield histogram.render(name, labels);
    }
  }
}

class ExchangeSeries extends Series implements HttpSeries {
  readonly responses: Responses[] = [];
  readonly latencies: Latency[] = [];
  requests = 0;
  #last: Responses | undefined;

  request(): void {
    this.used();
    this.requests++;
  }

  response(status: number, latencyMs: number, failure: boolean, grpcStatus?: number, error = ""): void {
    this.used();
    let responses = this.#last;
    if (responses === undefined || !same(responses, status, failure, grpcStatus, error)) {
      responses = this.#find(status, failure, grpcStatus, error);
      this.#last = responses;
    }
    responses.count++;
    responses.latency.histogram.record(latencyMs);
  }

  #find(status: number, failure: boolean, grpcStatus: number | undefined, error: string): Responses {
    const present = this.responses.find((candidate) => same(candidate, status, failure, grpcStatus, error));
    if (present !== undefined) return present;
    // 0: broken off before there was a status.
    const statusLabel = status === 0 ? "" : `status_code="${status}"`;
    const latencyLabels = joinLabels(this.labels, statusLabel);
    let latency = this.latencies.find((candidate) => candidate.labels === latencyLabels);
    if (latency === undefined) {
      latency = { labels: latencyLabels, histogram: new LatencyHistogram() };
      this.latencies.push(latency);
    }
    const classification = failure ? "failure" : "success";
    const rest = `classification="${classification}",grpc_status="${grpcStatus ?? ""}",error="${escapeLabelValue(error)}"`;
    const labels = joinLabels(latencyLabels, rest);
    const responses = { status, failure, grpcStatus, error, latency, labels, count: 0 };
    this.responses.push(responses);
    return responses;
  }
}

function same(
  responses: Responses,
  status: number,
  failure: boolean,
  grpcStatus: number | undefined,
  error: string,
): boolean {
  return (
    responses.status === status &&
    responses.failure === failure &&
    responses.grpcStatus === grpcStatus &&
    responses.error === error
  );
}
