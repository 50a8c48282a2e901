/** Finished spans, in batches to a collector over OTLP's gRPC. A collector that is slow or away costs spans, which are counted, and nothing else. */
import {
  type ExportTraceServiceRequest,
  TraceServiceService,
} from "../../api/gen/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import type { KeyValue } from "../../api/gen/opentelemetry/proto/common/v1/common.ts";
import { type Span, Span_SpanKind, Status_StatusCode } from "../../api/gen/opentelemetry/proto/trace/v1/trace.ts";
import type { ControlClient } from "../control/client.ts";
import type { Logger } from "../log.ts";
import type { Reading } from "../metrics/registry.ts";
import type { FinishedSpan, SpanAttribute, SpanSink } from "./tracer.ts";

export interface SpanExporterOptions {
  /** Of the collector; closed by whoever made it. */
  readonly client: ControlClient;
  /** Of this process: `service.name`… */
  readonly resource: readonly SpanAttribute[];
  readonly version: string;
  readonly log: Logger;
  /** How long a span may wait for others, milliseconds. */
  readonly delayMs?: number;
  /** Spans that may wait; more are dropped. */
  readonly maxWaiting?: number;
}

const DELAY_MS = 5_000;
const MAX_WAITING = 2_048;
const MAX_BATCH = 512;
const EXPORT_WITHIN_MS = 10_000;

export class SpanExporter implements SpanSink {
  readonly #options: SpanExporterOptions;
  #waiting: FinishedSpan[] = [];
  #timer: NodeJS.Timeout | undefined;
  #exporting: Promise<void> | undefined;
  #closed = false;
  /** Said once until it answers again. */
  #away = false;
  #requests = 0;
  #exported = 0;
  readonly #dropped = { queue_full: 0, export_failed: 0, rejected: 0 };

  constructor(options: SpanExporterOptions) {
    this.#options = options;
  }

  add(span: FinishedSpan): void {
    const { maxWaiting = MAX_WAITING, delayMs = DELAY_MS } = this.#options;
    if (this.#closed || this.#waiting.length >= maxWaiting) {
      this.#dropped.queue_full++;
      return;
    }
    this.#waiting.push(span);
    if (this.#exporting !== undefined) return;
    if (this.#waiting.length >= MAX_BATCH) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), delayMs);
  }

  /** What waits is sent; resolves when it is, or cannot be. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#exporting !== undefined) {
      this.#begin();
      await this.#exporting;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#dropped.queue_full += this.#waiting.length;
    this.#waiting = [];
  }

  /** `opentelemetry_*` (reference 7.3), and what was dropped. */
  readings(): Reading[] {
    const counter = (name: string, help: string, value: number, labels?: string): Reading => ({
      name,
      type: "counter",
      help,
      value,
      ...(labels === undefined ? {} : { labels }),
    });
    return [
      counter("opentelemetry_span_export_streams", "Total count of opened span export streams", this.#requests),
      counter("opentelemetry_span_export_requests", "Total count of span export request messages", this.#requests),
      counter("opentelemetry_span_exports", "Total count of spans exported", this.#exported),
      ...Object.entries(this.#dropped).map(([reason, value]) =>
        counter("weft_span_drops_total", "Total count of spans that no collector got", value, `reason="${reason}"`),
      ),
    ];
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length > 0) this.#exporting ??= this.#export().then(() => this.#next());
  }

  #next(): void {
    this.#exporting = undefined;
    if (this.#closed || this.#waiting.length === 0) return;
    if (this.#waiting.length >= MAX_BATCH && !this.#away) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), this.#options.delayMs ?? DELAY_MS);
  }

  async #export(): Promise<void> {
    const batch = this.#waiting.splice(0, MAX_BATCH);
    const { client, log } = this.#options;
    this.#requests++;
    try {
      const { partialSuccess } = await client.unary(TraceServiceService.export, this.#message(batch), {
        timeoutMs: EXPORT_WITHIN_MS,
      });
      const rejected = Math.min(batch.length, Number(partialSuccess?.rejectedSpans ?? 0n));
      this.#dropped.rejected += rejected;
      this.#exported += batch.length - rejected;
      this.#away = false;
      if (rejected > 0) log.debug(`${client.target} rejected ${rejected} spans: ${partialSuccess?.errorMessage}`);
    } catch (error) {
      this.#dropped.export_failed += batch.length;
      if (!this.#away) log.warn(`spans cannot be exported and are dropped until ${client.target} answers`, error);
      this.#away = true;
    }
  }

  #message(batch: readonly FinishedSpan[]): ExportTraceServiceRequest {
    const scope = { name: "weft-proxy", version: this.#options.version };
    const resource = { attributes: this.#options.resource.map(keyValue) };
    return {
      resourceSpans: [
        { resource, scopeSpans: [{ scope, spans: batch.map(spanMessage), schemaUrl: "" }], schemaUrl: "" },
      ],
    };
  }
}

/** Sampled; whether the parent is remote is known, and it is (OTLP's SpanFlags). */
const FLAGS = 0x301;

function spanMessage({ context, id, kind, name, startedAt, endedAt, attributes, failed }: FinishedSpan): Span {
  return {
    traceId: Buffer.from(context.traceId, "hex"),
    spanId: Buffer.from(id, "hex"),
    parentSpanId: Buffer.from(context.parentId, "hex"),
    traceState: context.state,
    name,
    kind: kind === "server" ? Span_SpanKind.SERVER : Span_SpanKind.CLIENT,
    startTimeUnixNano: nanoseconds(startedAt),
    endTimeUnixNano: nanoseconds(endedAt),
    attributes: attributes.map(keyValue),
    status: failed ? { code: Status_StatusCode.ERROR, message: "" } : undefined,
    flags: FLAGS,
  };
}

function keyValue([key, value]: SpanAttribute): KeyValue {
  return {
    key,
    value: {
      value:
        typeof value === "string"
          ? { $case: "stringValue", value }
          : { $case: "intValue", value: BigInt(Math.trunc(value)) },
    },
  };
}

/** A number of milliseconds holds microseconds, not nanoseconds, of these years. */
function nanoseconds(milliseconds: number): bigint {
  return BigInt(Math.round(milliseconds * 1_000)) * 1_000n;
}
