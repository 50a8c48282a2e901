/** The proxy's own answers in HTTP/2: a head, and nothing after it (reference 5.9). */
import { HeaderField, LITERAL } from "../../wire/hpack/field.ts";
import { internField } from "../../wire/hpack/intern.ts";
import { type Audience, grpcCode, printable, type Refusal } from "../http/failure.ts";

function literal(name: string, value: string): HeaderField {
  return new HeaderField(name, value, LITERAL);
}

/** Of a call that was not in time, when its answer has begun: DEADLINE_EXCEEDED. */
export function deadlineTrailers(): HeaderField[] {
  return [internField("grpc-status", "4"), literal("grpc-message", encodeURIComponent("time-out of the route"))];
}

export function refusalFields(refusal: Refusal, audience: Audience, grpc: boolean): HeaderField[] {
  const fields = grpc
    ? [
        internField(":status", "200"),
        internField("content-type", "application/grpc"),
        internField("grpc-status", String(grpcCode(refusal))),
        literal("grpc-message", encodeURIComponent(refusal.message)),
      ]
    : [internField(":status", String(refusal.status)), internField("content-length", "0")];
  fields.push(literal("date", new Date().toUTCString()));
  for (const [name, value] of refusal.lines) fields.push(literal(name, printable(value)));
  if (audience.informed && refusal.cause !== "redirected") {
    fields.push(literal("l5d-proxy-error", printable(refusal.message)));
  }
  if (audience.meshed && refusal.undelivered) fields.push(internField("weft-not-delivered", "1"));
  if (audience.meshed && refusal.close) fields.push(internField("l5d-proxy-connection", "close"));
  return fields;
}
