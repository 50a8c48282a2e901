/** How gRPC calls end: codes, what HTTP's and HTTP/2's answers mean, how trailers say it (gRPC over HTTP/2, "Responses" and "Errors"). */
import type { HeaderField } from "../hpack/field.ts";
import { errorCode } from "../http2/protocol.ts";
import type { StreamReset } from "../http2/stream.ts";

export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
}

export const OK: GrpcStatus = { code: grpcCode.ok, message: "" };

/** What a response that is not gRPC's means. */
const BY_HTTP_STATUS = new Map<number, number>([
  [400, grpcCode.internal],
  [401, grpcCode.unauthenticated],
  [403, grpcCode.permissionDenied],
  [404, grpcCode.unimplemented],
  [429, grpcCode.unavailable],
  [502, grpcCode.unavailable],
  [503, grpcCode.unavailable],
  [504, grpcCode.unavailable],
]);

/** What an HTTP/2 error code means; the others are Internal. */
const BY_ERROR_CODE = new Map<number, number>([
  [errorCode.refusedStream, grpcCode.unavailable],
  [errorCode.cancel, grpcCode.cancelled],
  [errorCode.enhanceYourCalm, grpcCode.resourceExhausted],
  [errorCode.inadequateSecurity, grpcCode.permissionDenied],
]);

export function statusOfHttp(httpStatus: number, what: string): GrpcStatus {
  return { code: BY_HTTP_STATUS.get(httpStatus) ?? grpcCode.unknown, message: what };
}

export function statusOfReset({ code, reason, unprocessed, lost }: StreamReset): GrpcStatus {
  const known = BY_ERROR_CODE.get(code) ?? grpcCode.internal;
  return { code: unprocessed || lost ? grpcCode.unavailable : known, message: reason };
}

/** @returns what `grpc-status` and `grpc-message` say, undefined where there is no status */
export function statusOfTrailers(fields: readonly HeaderField[]): GrpcStatus | undefined {
  const said = fieldValue(fields, "grpc-status");
  if (said === undefined) return undefined;
  const message = percentDecode(fieldValue(fields, "grpc-message") ?? "");
  return { code: /^[0-9]{1,3}$/.test(said) ? Number(said) : grpcCode.unknown, message };
}

export function fieldValue(fields: readonly HeaderField[], name: string): string | undefined {
  return fields.find((field) => field.name === name)?.value;
}

/** What is no percent-coding stays as it is, as the protocol wants it. @param text Latin-1 */
function percentDecode(text: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const hex = text.slice(at + 1, at + 3);
    if (text[at] === "%" && /^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else bytes.push(text.charCodeAt(at));
  }
  return Buffer.from(bytes).toString();
}

/** As `grpc-message` wants it: what is not printable ASCII, percent itself and blanks at the ends, as octets of UTF-8. */
export function percentEncode(text: string): string {
  let coded = "";
  const octets = Buffer.from(text);
  for (const [index, octet] of octets.entries()) {
    const inside = index > 0 && index < octets.length - 1;
    const plain = octet > 0x20 ? octet <= 0x7e && octet !== 0x25 : octet === 0x20 && inside;
    coded += plain ? String.fromCharCode(octet) : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return coded;
}
