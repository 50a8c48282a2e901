/** The static table (RFC 7541, appendix A). */
import { HeaderField, INDEXED } from "./field.ts";

/** Index 1 is the first. */
const ENTRIES: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** Fields by index; what is at 0 is no entry. */
export const STATIC_TABLE: readonly HeaderField[] = [
  new HeaderField("", ""),
  ...ENTRIES.map(([name, value], index) => new HeaderField(name, value, INDEXED, index + 1)),
];

/** Entries of the static table. */
export const STATIC_COUNT = ENTRIES.length;

const BY_NAME = new Map<string, number>();
for (let index = STATIC_COUNT; index > 0; index--) BY_NAME.set(STATIC_TABLE[index]?.name ?? "", index);

/** @returns index of the first entry of that name, 0 where there is none */
export function staticNameIndex(name: string): number {
  return BY_NAME.get(name) ?? 0;
}
