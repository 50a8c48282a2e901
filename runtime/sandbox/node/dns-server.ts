/**
 * The cluster's DNS over UDP and TCP (RFC 1035, 7766). It knows the cluster's domain and answers NXDOMAIN for all else:
 * pods of the sandbox reach nothing outside of it.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { type Answer, AUTHORITATIVE_ANSWER, decode, encode, type Packet, RECURSION_AVAILABLE } from "dns-packet";
import type { DnsRecord, Lookup } from "./dns-records.ts";

const TTL_SECONDS = 5;
/** RFC 1035, 4.2.1: what fits in a datagram for clients without EDNS. */
const PLAIN_UDP_LIMIT = 512;
/** Flags of the header that the library has no name for: the code of the answer is in the low four bits. */
const NXDOMAIN = 3;
const NOTIMP = 4;
/** A client that holds a connection without asking is let go. */
const IDLE_MS = 10_000;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;

export class DnsServer {
  readonly #lookup: Lookup;
  readonly #domain: string;
  readonly #udp: Socket = createSocket("udp4");
  readonly #tcp: Server;
  readonly #connections = new Set<TcpSocket>();
  #port = 0;

  constructor(lookup: Lookup, domain: string) {
    this.#lookup = lookup;
    this.#domain = domain;
    this.#udp.on("message", (message, client) => this.#answerDatagram(message, client));
    // A client that went away before its answer (ICMP) is no fault of the server's.
    this.#udp.on("error", () => {});
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  /** @returns the port, the same for UDP and TCP */
  async start(address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once("error", reject);
      this.#tcp.listen(0, address, resolve);
    });
    const bound = this.#tcp.address();
    this.#port = typeof bound === "object" && bound !== null ? bound.port : 0;
    await new Promise<void>((resolve, reject) => {
      this.#udp.once("error", reject);
      this.#udp.bind(this.#port, address, resolve);
    });
    return this.#port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    if (this.#port === 0) return;
    this.#udp.close();
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
  }

  #answerDatagram(message: Buffer, client: RemoteInfo): void {
    const answer = this.#respond(message, "udp");
    // A client that has gone is no fault of the server's.
    if (answer !== undefined) this.#udp.send(answer, client.port, client.address, () => {});
  }

  /** Undefined for what is no query, or none that an answer can be written to. */
  #respond(message: Buffer, transport: "udp" | "tcp"): Buffer | undefined {
    try {
      const query = decode(message);
      if (query.type !== "query") return undefined;
      const answer = this.#answer(query);
      const bytes = encode(answer);
      if (transport === "tcp" || bytes.length <= udpLimit(query)) return bytes;
      return encode({ ...answer, answers: [], flags: flagsOf(query) | TRUNCATED });
    } catch {
      return undefined;
    }
  }

  #serve(socket: TcpSocket): void {
    this.#connections.add(socket);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.once("close", () => this.#connections.delete(socket));
    socket.on("error", () => socket.destroy());
    let pending = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      pending = Buffer.concat([pending, bytes]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const length = pending.readUInt16BE(0);
        const answer = this.#respond(pending.subarray(2, 2 + length), "tcp");
        pending = pending.subarray(2 + length);
        if (answer === undefined) return void socket.destroy();
        const head = Buffer.alloc(2);
        head.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([head, answer]));
      }
    });
  }

  #answer(query: Packet): Packet {
    const question = query.questions?.[0];
    const base = { type: "response" as const, id: query.id ?? 0, questions: query.questions ?? [] };
    if (question === undefined || query.questions?.length !== 1) return { ...base, flags: flagsOf(query) | NOTIMP };
    const records = this.#lookup(question.name, question.type);
    const authorities: Answer[] = records === undefined || records.length === 0 ? [this.#authority()] : [];
    return {
      ...base,
      flags: flagsOf(query) | (records === undefined ? NXDOMAIN : 0),
      answers: shuffled(records ?? []).map(toAnswer),
      authorities,
    };
  }

  /** Tells how long a name may be remembered as missing (RFC 2308). */
  #authority(): Answer {
    const zone = this.#domain;
    return {
      type: "SOA",
      name: zone,
      ttl: TTL_SECONDS,
      data: {
        mname: `ns.dns.${zone}`,
        rname: `hostmaster.${zone}`,
        serial: 1,
        refresh: 7200,
        retry: 1800,
        expire: 86_400,
        minimum: TTL_SECONDS,
      },
    };
  }
}

function flagsOf(query: Packet): number {
  return AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | ((query.flags ?? 0) & RECURSION_DESIRED);
}

function udpLimit(query: Packet): number {
  const options = query.additionals?.find(({ type }) => type === "OPT");
  return options?.type === "OPT" ? Math.max(PLAIN_UDP_LIMIT, options.udpPayloadSize) : PLAIN_UDP_LIMIT;
}

function toAnswer(record: DnsRecord): Answer {
  if (record.type === "A") return { type: "A", name: record.name, ttl: TTL_SECONDS, data: record.address };
  const data = { target: record.target, port: record.port, priority: 0, weight: 100 };
  return { type: "SRV", name: record.name, ttl: TTL_SECONDS, data };
}

/** Clients take the first: spread them. */
function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
