/** A DNS server that a test scripts, over UDP and TCP; its wire format is the package dns-packet's. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type Answer, decode, encode, type Packet, streamDecode, streamEncode } from "dns-packet";

export interface DnsServerOptions {
  /** Answers by `TYPE name`; a name that has none at all does not exist. */
  readonly records: Map<string, readonly Answer[]>;
  readonly host?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Changes what is about to be sent by UDP; undefined: nothing is sent. */
  readonly mangle?: (answer: Packet) => Packet | undefined;
}

export class DnsServer {
  /** What was asked, as `TYPE name`. */
  readonly asked: string[] = [];
  port = 0;
  readonly #options: DnsServerOptions;
  readonly #udp = createSocket("udp4");
  readonly #tcp = createServer();

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  async start(): Promise<this> {
    const { host = "127.0.0.1", port = 0, mangle = (answer: Packet) => answer } = this.#options;
    this.#udp.on("message", (bytes, from) => {
      const answer = mangle(this.#answer(decode(bytes)));
      if (answer !== undefined) this.#udp.send(encode(answer), from.port, from.address);
    });
    this.#tcp.on("connection", (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (bytes: Buffer) => socket.end(streamEncode(this.#answer(streamDecode(bytes) as Packet))));
    });
    this.#tcp.listen(port, host);
    await once(this.#tcp, "listening");
    this.port = (this.#tcp.address() as AddressInfo).port;
    this.#udp.bind(this.port, host);
    await once(this.#udp, "listening");
    return this;
  }

  #answer(query: Packet): Packet {
    const [question] = query.questions ?? [];
    const name = question?.name.toLowerCase() ?? "";
    this.asked.push(`${question?.type} ${name}`);
    const exists = [...this.#options.records.keys()].some((key) => key.endsWith(` ${name}`));
    return {
      type: "response",
      id: query.id ?? 0,
      flags: exists ? 0x0180 : 0x0183,
      questions: query.questions ?? [],
      answers: [...(this.#options.records.get(`${question?.type} ${name}`) ?? [])],
    };
  }

  close(): void {
    this.#udp.close();
    this.#tcp.close();
  }
}

/** SRV records of `name`, as those of a headless Service. */
export function headless(name: string, endpoints: readonly { ip: string; port: number }[], ttl = 5): Answer[] {
  return endpoints.map(({ ip, port }) => ({
    type: "SRV",
    name,
    ttl,
    data: { target: `${ip.replaceAll(".", "-")}.${name}`, port, priority: 0, weight: 50 },
  }));
}
