/**
 * DNS messages (RFC 1035; SRV: RFC 2782; EDNS: RFC 6891), as far as a stub resolver needs them: one question, and answers of three types.
 * dns-packet, which the sandbox uses, knows all of them: 31 KB minified, a sixteenth of the bundle that every sidecar keeps in memory.
 */

export const recordType = { a: 1, aaaa: 28, srv: 33 } as const;
export type RecordType = (typeof recordType)[keyof typeof recordType];

/** RFC 1035, 4.1.1. */
export const responseCode = { noError: 0, nameError: 3 } as const;

export type DnsRecord =
  | { readonly kind: "address"; readonly ip: string }
  /** `target`: labels with dots, without a final one. */
  | { readonly kind: "service"; readonly target: string; readonly port: number };

export interface DnsAnswer {
  readonly code: number;
  /** It did not fit: to be asked for by TCP. */
  readonly truncated: boolean;
  /** Least life of its records; 0 where there are none. */
  readonly ttlSeconds: number;
  readonly records: readonly DnsRecord[];
}

const HEADER_BYTES = 12;
const CLASS_IN = 1;
const OPT = 41;
/** What travels unfragmented nearly everywhere (DNS flag day 2020). */
const UDP_BYTES = 1_232;
const RECURSION_DESIRED = 0x0100;
const RESPONSE = 0x8000;
const TRUNCATED = 0x0200;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
/** Compression points backwards: a name has no more jumps than labels. */
const MAX_JUMPS = 128;
/** Lives have 31 bits (RFC 2181, 8). */
const MAX_TTL_SECONDS = 2 ** 31 - 1;

/** @param name without a final dot. @returns undefined for what is no name of DNS */
export function encodeQuery(id: number, name: string, type: RecordType): Buffer | undefined {
  const labels = name.split(".").map((label) => Buffer.from(label, "latin1"));
  if (labels.some(({ length }) => length === 0 || length > MAX_LABEL_BYTES)) return undefined;
  const question = Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.alloc(5)]);
  if (question.length - 4 > MAX_NAME_BYTES) return undefined;
  question.writeUInt16BE(type, question.length - 4);
  question.writeUInt16BE(CLASS_IN, question.length - 2);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 10);
  const edns = Buffer.alloc(11);
  edns.writeUInt16BE(OPT, 1);
  edns.writeUInt16BE(UDP_BYTES, 3);
  return Buffer.concat([header, question, edns]);
}

/** @returns undefined for what is not the answer to `query`, or is malformed */
export function readAnswer(bytes: Buffer, query: Buffer): DnsAnswer | undefined {
  try {
    return read(bytes, query);
  } catch (error) {
    // Reading beyond the end.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function read(bytes: Buffer, query: Buffer): DnsAnswer | undefined {
  const flags = bytes.readUInt16BE(2);
  if (bytes.readUInt16BE(0) !== query.readUInt16BE(0) || (flags & RESPONSE) === 0) return undefined;
  if (bytes.readUInt16BE(4) !== 1) return undefined;
  const asked = readName(query, HEADER_BYTES);
  const question = readName(bytes, HEADER_BYTES);
  if (question.name.toLowerCase() !== asked.name.toLowerCase()) return undefined;
  const type = query.readUInt16BE(asked.end);
  if (bytes.readUInt16BE(question.end) !== type) return undefined;
  const records: DnsRecord[] = [];
  let ttlSeconds = MAX_TTL_SECONDS;
  let at = question.end + 4;
  for (let left = bytes.readUInt16BE(6); left > 0; left--) {
    const { end } = readName(bytes, at);
    const length = bytes.readUInt16BE(end + 8);
    const data = end + 10;
    at = data + length;
    if (at > bytes.length) throw new RangeError("a record beyond the message");
    // Aliases on the way count: what they lead to may change with them.
    ttlSeconds = Math.min(ttlSeconds, bytes.readUInt32BE(end + 4) & MAX_TTL_SECONDS);
    if (bytes.readUInt16BE(end) !== type) continue;
    const record = readRecord(bytes, type, data, length);
    if (record !== undefined) records.push(record);
  }
  const life = records.length === 0 ? 0 : ttlSeconds;
  return { code: flags & 0xf, truncated: (flags & TRUNCATED) !== 0, ttlSeconds: life, records };
}

function readRecord(bytes: Buffer, type: number, at: number, length: number): DnsRecord | undefined {
  switch (type) {
    case recordType.a:
      return length === 4 ? { kind: "address", ip: bytes.subarray(at, at + 4).join(".") } : undefined;
    case recordType.aaaa:
      return length === 16 ? { kind: "address", ip: ipv6(bytes, at) } : undefined;
    case recordType.srv: {
      const { name } = readName(bytes, at + 6);
      return { kind: "service", target: name, port: bytes.readUInt16BE(at + 4) };
    }
    default:
      return undefined;
  }
}

function ipv6(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + index * 2).toString(16));
  return groups.join(":");
}

/** @returns the name, and where what follows it begins */
function readName(bytes: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  let end = -1;
  for (let jumps = 0; jumps < MAX_JUMPS; ) {
    const length = bytes.readUInt8(at);
    if (length === 0) return { name: labels.join("."), end: end === -1 ? at + 1 : end };
    if (length < 64) {
      if (at + 1 + length > bytes.length || labels.length > 127) throw new RangeError("a label beyond the message");
      labels.push(bytes.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
      continue;
    }
    if (length < 192) throw new RangeError("a label of unknown kind");
    if (end === -1) end = at + 2;
    at = bytes.readUInt16BE(at) & 0x3fff;
    jumps++;
  }
  throw new RangeError("a name that leads in circles");
}
