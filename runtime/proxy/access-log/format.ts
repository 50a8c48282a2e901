/** Lines of the access log, as Linkerd's (reference 7.6). */

/** One request. Texts are as the client sent them; empty where it sent none. */
export interface AccessRecord {
  /** `ip:port`. */
  readonly clientAddress: string;
  /** `-`: none. */
  readonly clientId: string;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  readonly host: string;
  readonly userAgent: string;
  readonly traceId: string;
  /** content-length of the request, of the response. */
  readonly requestBytes: string;
  readonly responseBytes: string;
  /** 0: the client got no answer. */
  readonly status: number;
  /** From the request's head to the answer's. */
  readonly totalNs: number;
  /** From the request's head until it was sent on, or was answered by the proxy. */
  readonly processingNs: number;
}

export type AccessLogFormat = "apache" | "json";

export function formatRecord(record: AccessRecord, format: AccessLogFormat): string {
  return format === "apache" ? apache(record) : json(record);
}

function apache({ clientAddress, clientId, timestamp, method, uri, version, status }: AccessRecord): string {
  const request = `${method} ${uri} ${version}`.replace(/["\\]/g, "\\$&");
  return `${clientAddress} ${clientId} - [${timestamp}] "${request}" ${status === 0 ? "-" : status}\n`;
}

/** Names in order, and durations as text: what reads Linkerd's reads these. */
function json(record: AccessRecord): string {
  const answered = record.status !== 0;
  return `${JSON.stringify({
    "client.addr": record.clientAddress,
    "client.id": record.clientId,
    host: record.host,
    method: record.method,
    ...(answered ? { processing_ns: String(record.processingNs) } : {}),
    request_bytes: record.requestBytes,
    ...(answered && record.responseBytes !== "" ? { response_bytes: record.responseBytes } : {}),
    ...(answered ? { status: record.status } : {}),
    timestamp: record.timestamp,
    ...(answered ? { total_ns: String(record.totalNs) } : {}),
    trace_id: record.traceId,
    uri: record.uri,
    user_agent: record.userAgent,
    version: record.version,
  })}\n`;
}
