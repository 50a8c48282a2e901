/**
 * Spans of requests that pass. As Linkerd's, this proxy begins no trace: it adds a span to those that their client decided to sample,
 * and leaves every other request's head as it is.
 */
import { randomFillSync } from "node:crypto";
import type { ExchangeEnd, ObservedClient } from "../http/observer.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { HeadEdits } from "../http/route-rule.ts";
import { isFailureByDefault } from "../route/profile.ts";
import { readTraceContext, type TraceContext } from "./context.ts";

/** Milliseconds since 1970, with fractions. Ids in hexadecimal digits. */
export interface FinishedSpan {
  readonly context: TraceContext;
  readonly id: string;
  readonly kind: "server" | "client";
  readonly name: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: readonly SpanAttribute[];
  readonly failed: boolean;
}

export type SpanAttribute = readonly [name: string, value: string | number];

/** Takes what is finished. Never waits. */
export interface SpanSink {
  add(span: FinishedSpan): void;
}

export class Tracer {
  readonly #sink: SpanSink;

  constructor(sink: SpanSink) {
    this.#sink = sink;
  }

  /** undefined: the request is of no trace, or of one that is not sampled. */
  open(request: RequestHead, client: ObservedClient): ActiveSpan | undefined {
    const context = readTraceContext(request);
    if (context === undefined || !context.sampled) return undefined;
    return new ActiveSpan(context, request, client, this.#sink);
  }
}

/** A span under way. */
export class ActiveSpan {
  readonly edits: HeadEdits;
  readonly #sink: SpanSink;
  readonly #context: TraceContext;
  readonly #id = newSpanId();
  readonly #startedAt = now();
  readonly #kind: "server" | "client";
  readonly #name: string;
  readonly #attributes: SpanAttribute[];
  #grpcStatus: number | undefined;
  #reset: number | undefined;

  constructor(context: TraceContext, request: RequestHead, client: ObservedClient, sink: SpanSink) {
    this.#context = context;
    this.#sink = sink;
    this.#kind = client.direction === "inbound" ? "server" : "client";
    this.#name = request.path === "" ? request.method : request.path;
    this.#attributes = requestAttributes(request, client);
    this.edits = { remove: [], set: context.fields(this.#id), add: [] };
  }

  /** One try is over; the last one counts. */
  left({ grpcStatus, reset }: ExchangeEnd): void {
    this.#grpcStatus = grpcStatus;
    this.#reset = reset;
  }

  /** @param status of the client's answer; 0: none */
  ended(status: number): void {
    const attributes = this.#attributes;
    if (status !== 0) attributes.push(["http.response.status_code", status]);
    if (this.#grpcStatus !== undefined) attributes.push(["rpc.grpc.status_code", this.#grpcStatus]);
    const failed = status === 0 || this.#reset !== undefined || isFailureByDefault(status, this.#grpcStatus);
    if (failed) attributes.push(["error.type", status === 0 || this.#reset !== undefined ? "reset" : String(status)]);
    this.#sink.add({
      context: this.#context,
      id: this.#id,
      kind: this.#kind,
      name: this.#name,
      startedAt: this.#startedAt,
      endedAt: now(),
      attributes,
      failed,
    });
  }
}

/** OpenTelemetry's semantic conventions for HTTP, and `direction`, as Linkerd's spans have them. */
function requestAttributes(request: RequestHead, { direction, address }: ObservedClient): SpanAttribute[] {
  const { method, scheme, path, query, version } = request;
  const attributes: SpanAttribute[] = [
    ["direction", direction],
    ["http.request.method", method],
    ["url.scheme", scheme],
    ["url.path", path],
    ["network.protocol.name", "http"],
    ["network.protocol.version", version.slice("HTTP/".length)],
    ["client.address", address.ip],
    ["client.port", address.port],
  ];
  if (query !== "") attributes.push(["url.query", query]);
  const host = request.header("x-forwarded-host") ?? request.authority;
  const [, name = "", port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host) ?? [];
  if (name !== "") attributes.push(["server.address", name]);
  if (port !== undefined) attributes.push(["server.port", Number(port)]);
  const agent = request.header("user-agent");
  if (agent !== undefined) attributes.push(["user_agent.original", agent]);
  return attributes;
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

const ID_BYTES = 8;
const random = Buffer.alloc(ID_BYTES * 64);
let used = random.length;

function newSpanId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const id = random.toString("hex", used, used + ID_BYTES);
  used += ID_BYTES;
  return /^0+$/.test(id) ? newSpanId() : id;
}
