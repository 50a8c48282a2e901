/** The access log (LINKERD2_PROXY_ACCESS_LOG): a line for each request of the inbound side, when its answer's head is known. */
import type { ObservedClient } from "../http/observer.ts";
import type { HeaderList, RequestHead } from "../http/request-head.ts";
import { formatAddress } from "../policy/networks.ts";
import { type AccessLogFormat, type AccessRecord, formatRecord } from "./format.ts";

/** Whoever takes the lines: {@link LineWriter}. */
export interface LineSink {
  write(line: string): void;
}

const NS_IN_MS = 1_000_000;

export class AccessLog {
  readonly #format: AccessLogFormat;
  readonly #sink: LineSink;

  constructor(format: AccessLogFormat, sink: LineSink) {
    this.#format = format;
    this.#sink = sink;
  }

  open(request: RequestHead, client: ObservedClient): AccessEntry {
    return new AccessEntry(request, client, (record) => this.#sink.write(formatRecord(record, this.#format)));
  }
}

type RequestPart = Omit<AccessRecord, "status" | "totalNs" | "processingNs" | "responseBytes">;

/** One request under way. */
export class AccessEntry {
  readonly #write: (record: AccessRecord) => void;
  readonly #request: RequestPart;
  readonly #began = performance.now();
  #sentAt: number | undefined;
  #written = false;

  constructor(request: RequestHead, client: ObservedClient, write: (record: AccessRecord) => void) {
    this.#write = write;
    const { ip, port } = client.address;
    this.#request = {
      clientAddress: formatAddress(ip, port),
      clientId: client.identity ?? "-",
      timestamp: new Date().toISOString(),
      method: request.method,
      uri: uriOf(request),
      version: request.version === "HTTP/2" ? "HTTP/2.0" : request.version,
      host: request.header("host") ?? "",
      userAgent: request.header("user-agent") ?? "",
      traceId:
        request.header("x-b3-traceid") ?? request.header("x-request-id") ?? request.header("x-amzn-trace-id") ?? "",
      requestBytes: request.header("content-length") ?? "",
    };
  }

  /** It is sent on: for the first time, where there are several tries. */
  sent(): void {
    this.#sentAt ??= performance.now();
  }

  /** The client's answer. */
  response(status: number, headers: () => HeaderList): void {
    const now = performance.now();
    this.#end(status, now, headers().find(([name]) => name === "content-length")?.[1] ?? "");
  }

  /** Without an answer, where `response` did not come before. */
  ended(): void {
    this.#end(0, performance.now(), "");
  }

  #end(status: number, now: number, responseBytes: string): void {
    if (this.#written) return;
    this.#written = true;
    this.#write({
      ...this.#request,
      status,
      responseBytes,
      totalNs: Math.round((now - this.#began) * NS_IN_MS),
      processingNs: Math.round(((this.#sentAt ?? now) - this.#began) * NS_IN_MS),
    });
  }
}

/** Whole, as HTTP/2 has it; of what names no authority, the path alone. */
function uriOf({ scheme, authority, path, query }: RequestHead): string {
  const target = query === "" ? path : `${path}?${query}`;
  if (authority === "" || path === "*") return target;
  return path === "" ? authority : `${scheme}://${authority}${target}`;
}
