/**
 * Trace contexts in heads: W3C's traceparent (Trace Context, level 1), B3 in one field and in several. The first of these that a request
 * carries is read, and what is sent on names the new parent in the same way. tracestate and baggage pass as they are.
 */
import type { HeaderList, RequestHead } from "../http/request-head.ts";

export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly parentId: string;
  readonly sampled: boolean;
  /** tracestate; empty where there is none. */
  readonly state: string;
  /** Fields that make the span `spanId` (16 digits) the parent of what comes after. */
  fields(spanId: string): HeaderList;
}

/** undefined: the request is of no trace, or what it says of one is not valid. */
export function readTraceContext(request: RequestHead): TraceContext | undefined {
  const parent = request.header("traceparent");
  if (parent !== undefined) return readTraceparent(parent, request);
  const single = request.header("b3");
  return single === undefined ? readB3Fields(request) : readB3(single);
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;
/** Bits that level 1 and 2 know: sampled, random. */
const KNOWN_FLAGS = 3;

function readTraceparent(text: string, request: RequestHead): TraceContext | undefined {
  const [, version, traceId = "", parentId = "", digits = "", more] = TRACEPARENT.exec(text.trim()) ?? [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (isZero(traceId) || isZero(parentId)) return undefined;
  const fields = request.headers();
  // Two of them: nobody can tell which one holds.
  if (fields.filter(([name]) => name === "traceparent").length > 1) return undefined;
  const flags = Number.parseInt(digits, 16);
  const state = fields.flatMap(([name, value]) => (name === "tracestate" && value !== "" ? [value] : [])).join(",");
  const kept = (flags & KNOWN_FLAGS).toString(16).padStart(2, "0");
  return {
    traceId,
    parentId,
    sampled: (flags & SAMPLED) !== 0,
    state,
    fields: (spanId) => [["traceparent", `00-${traceId}-${spanId}-${kept}`]],
  };
}

const B3 = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?$/i;

/** `traceid-spanid-sampled-parentspanid`; a decision alone (`0`) is of no trace. */
function readB3(text: string): TraceContext | undefined {
  const [, traceId, parentId, decision] = B3.exec(text.trim()) ?? [];
  if (traceId === undefined || parentId === undefined || isZero(traceId) || isZero(parentId)) return undefined;
  return {
    traceId: traceId.toLowerCase().padStart(32, "0"),
    parentId: parentId.toLowerCase(),
    sampled: decision === "1" || decision === "d",
    state: "",
    fields: (spanId) => [["b3", `${traceId}-${spanId}-${decision ?? "0"}-${parentId}`]],
  };
}

function readB3Fields(request: RequestHead): TraceContext | undefined {
  const traceId = request.header("x-b3-traceid");
  const parentId = request.header("x-b3-spanid");
  if (traceId === undefined || parentId === undefined) return undefined;
  if (!/^(?:[0-9a-f]{16}|[0-9a-f]{32})$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(parentId)) return undefined;
  if (isZero(traceId) || isZero(parentId)) return undefined;
  const decision = request.header("x-b3-sampled");
  return {
    traceId: traceId.toLowerCase().padStart(32, "0"),
    parentId: parentId.toLowerCase(),
    sampled: decision === "1" || decision === "true" || request.header("x-b3-flags") === "1",
    state: "",
    fields: (spanId) => [
      ["x-b3-spanid", spanId],
      ["x-b3-parentspanid", parentId],
    ],
  };
}

function isZero(digits: string): boolean {
  return /^0+$/.test(digits);
}
