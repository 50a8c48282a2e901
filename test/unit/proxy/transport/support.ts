/** Both transports, and an owner that remembers what it was told. */
import { after } from "node:test";
import { noOriginalDestination } from "../../../../runtime/proxy/transport/original-destination.ts";
import type {
  Accepted,
  Address,
  ByteStream,
  StreamOwner,
  Transport,
} from "../../../../runtime/proxy/transport/stream.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";

export const TRANSPORTS: readonly Transport[] = [
  createTransport(noOriginalDestination, "handles"),
  createTransport(noOriginalDestination, "sockets"),
];

export class RecordingOwner implements StreamOwner {
  stream: ByteStream | undefined;
  readonly chunks: Buffer[] = [];
  ended = false;
  drains = 0;
  /** undefined while open. */
  errno: string | undefined;
  /** Callbacks after onClose: there must be none. */
  late = 0;
  #wake: (() => void)[] = [];

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString("latin1");
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#note();
    this.chunks.push(Buffer.from(buffer.subarray(start, end)));
  }

  onEnd(): void {
    this.#note();
    this.ended = true;
  }

  onDrain(): void {
    this.#note();
    this.drains++;
  }

  onClose(errno: string): void {
    this.#note();
    this.errno = errno;
  }

  #note(): void {
    if (this.errno !== undefined) this.late++;
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) setImmediate(resolve);
  }

  /** Waits until `condition` holds. @throws Error after 5 s, naming it */
  async until(condition: (owner: this) => boolean): Promise<void> {
    const deadline = Date.now() + 5_000;
    while (!condition(this)) {
      if (Date.now() > deadline)
        throw new Error(`never came: ${condition.toString()} (got ${this.text.slice(0, 200)})`);
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        setTimeout(resolve, 50);
      });
    }
  }
}

/** A listener and what it accepts, one after the other. */
export async function listen(
  transport: Transport,
): Promise<{ address: Address; accept: () => Promise<Accepted>; close: () => void }> {
  const waiting: ((accepted: Accepted) => void)[] = [];
  const arrived: Accepted[] = [];
  const listener = await transport.listen({ ip: "127.0.0.1", port: 0 }, 128, (accepted) => {
    const next = waiting.shift();
    if (next === undefined) arrived.push(accepted);
    else next(accepted);
  });
  after(() => listener.close());
  return {
    address: listener.address,
    close: () => listener.close(),
    accept: () =>
      new Promise((resolve) => {
        const ready = arrived.shift();
        if (ready === undefined) waiting.push(resolve);
        else resolve(ready);
      }),
  };
}

/** A connected pair. */
export async function pair(
  transport: Transport,
): Promise<{ client: RecordingOwner; server: RecordingOwner; clientStream: ByteStream; serverStream: ByteStream }> {
  const { address, accept, close } = await listen(transport);
  const client = new RecordingOwner();
  const server = new RecordingOwner();
  const [accepted, clientStream] = await Promise.all([accept(), transport.connect(address, 1_000, client)]);
  const serverStream = accepted.open(server);
  client.stream = clientStream;
  server.stream = serverStream;
  close();
  return { client, server, clientStream, serverStream };
}

export function send(stream: ByteStream | undefined, text: string | Buffer): boolean {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  return (stream as ByteStream).write(bytes, 0, bytes.length);
}
