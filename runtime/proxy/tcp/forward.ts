/** A connection whose bytes go on as they are: connects to its other end, then relays. */
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { Relay } from "./relay.ts";

/** The other end, connected: its stream, where it is counted, and what to do when it is over. */
export interface Connected {
  readonly stream: ByteStream;
  readonly series: TcpSeries;
  readonly done?: () => void;
}

export interface ForwardOptions {
  /** The client's stream; a function opens it once there is somewhere to send its bytes to. */
  readonly client: ByteStream | (() => ByteStream);
  readonly series: TcpSeries;
  /** What the client has sent already: copied. */
  readonly early?: Buffer;
  /** The client has half-closed already. */
  readonly ended?: boolean;
  readonly connect: (owner: StreamOwner) => Promise<Connected>;
  /** No connection came about; the client is reset. */
  readonly onFailed: (error: Error) => void;
  readonly onDone: () => void;
}

/** Holds the client's stream until there is a connection. */
export class Forward implements StreamOwner {
  readonly #options: ForwardOptions;
  #client: ByteStream | undefined;
  #relay: Relay | undefined;
  #early: Buffer[];
  #ended: boolean;
  #over = false;

  constructor(options: ForwardOptions) {
    this.#options = options;
    this.#early = options.early === undefined ? [] : [options.early];
    if (options.early !== undefined) options.series.read(options.early.length);
    this.#ended = options.ended ?? false;
    if (typeof options.client !== "function") {
      this.#client = options.client;
      this.#client.owner = this;
      this.#client.pause();
    }
    void this.#start();
  }

  async #start(): Promise<void> {
    const { connect, onFailed, series, client } = this.#options;
    // Between its connection and the relay nobody may lose what a server says first.
    const waiting = new Waiting();
    let server: Connected;
    try {
      server = await connect(waiting);
      if (waiting.errno !== undefined) throw new Error(`the server closed at once (${waiting.errno})`);
    } catch (error) {
      if (this.#over) return;
      onFailed(error as Error);
      const stream = this.#client ?? (client as () => ByteStream)();
      stream.owner = this;
      stream.reset();
      return;
    }
    if (this.#over) {
      server.stream.close();
      server.done?.();
      return;
    }
    this.#client ??= (client as () => ByteStream)();
    const relay = new Relay({ stream: this.#client, series }, server, () => {
      server.done?.();
      this.#finish();
    });
    this.#relay = relay;
    for (const bytes of this.#early) relay.forwardFromA(bytes);
    this.#early = [];
    for (const bytes of waiting.bytes) {
      server.series.read(bytes.length);
      relay.forwardFromB(bytes);
    }
    if (this.#ended) server.stream.end();
    if (waiting.ended) this.#client.end();
    this.#client.resume();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.onDone();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#options.series.read(end - start);
    this.#early.push(Buffer.from(buffer.subarray(start, end)));
  }

  onEnd(): void {
    this.#ended = true;
  }

  onDrain(): void {}

  onClose(errno: string): void {
    this.#options.series.closed(errno);
    this.#finish();
  }

  close(): void {
    if (this.#relay !== undefined) this.#relay.close();
    else if (this.#client !== undefined) this.#client.close();
    else {
      // Not opened yet, and it need not be.
      (this.#options.client as () => ByteStream)().close();
      this.#finish();
    }
  }
}

/** The server's side until the relay takes it. */
class Waiting implements StreamOwner {
  readonly bytes: Buffer[] = [];
  ended = false;
  errno: string | undefined;

  onData(buffer: Buffer, start: number, end: number): void {
    this.bytes.push(Buffer.from(buffer.subarray(start, end)));
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {}

  onClose(errno: string): void {
    this.errno = errno;
  }
}
