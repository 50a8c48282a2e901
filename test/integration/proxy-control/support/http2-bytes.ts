/** An HTTP/2 client that hands out the bytes it would send: for who sends them in his own way, or others with them. */
import type { Duplex } from "node:stream";
import { HeaderField } from "../../../../runtime/wire/hpack/field.ts";
import { ClientConnection } from "../../../../runtime/wire/http2/client-connection.ts";
import { INITIAL_SETTINGS } from "../../../../runtime/wire/http2/settings.ts";
import type { StreamReset } from "../../../../runtime/wire/http2/stream.ts";

export interface Http2Answer {
  readonly status: number;
  readonly body: string;
}

export class Http2Bytes {
  /** Of the GOAWAYs that came. */
  readonly goAways: number[] = [];
  readonly #connection: ClientConnection;
  #waiting: Buffer[] = [];

  constructor(socket: Duplex) {
    this.#connection = new ClientConnection({
      settings: { ...INITIAL_SETTINGS },
      connectionWindow: 1_048_576,
      maxHeaderBlockBytes: 65_536,
      events: {
        onOutput: () => undefined,
        onGoAway: (code) => this.goAways.push(code),
        onPingAck: () => undefined,
        onIdle: () => undefined,
        onSettings: () => undefined,
        onClose: () => undefined,
      },
    });
    socket.on("data", (bytes: Buffer) => this.#connection.receive(bytes, 0, bytes.length));
    socket.on("close", () => this.#connection.close(new Error("the proxy closed the connection")));
  }

  /** What is to be sent, and was not taken before. */
  take(): Buffer {
    this.#connection.flush((bytes, start, end) => this.#waiting.push(Buffer.from(bytes.subarray(start, end))));
    const all = Buffer.concat(this.#waiting);
    this.#waiting = [];
    return all;
  }

  /** A request of its head alone. Rejects where its stream or connection is broken off. */
  request(fields: Readonly<Record<string, string>>): Promise<Http2Answer> {
    const head = Object.entries({ ":method": "GET", ":scheme": "http", ":authority": "web.shop", ...fields });
    return new Promise((resolve, reject) => {
      let status = 0;
      let body = "";
      const stream = this.#connection.request(
        head.map(([name, value]) => new HeaderField(name, value)),
        true,
        {
          onInformational: () => undefined,
          onHeaders: (answer, ended) => {
            status = Number(answer[0]?.value);
            if (ended) resolve({ status, body });
          },
          onData: (bytes, start, end, ended) => {
            body += bytes.toString("latin1", start, end);
            stream?.consume(end - start);
            if (ended) resolve({ status, body });
          },
          onTrailers: () => resolve({ status, body }),
          onWritable: () => undefined,
          onClose: (reset: StreamReset | undefined) => {
            if (reset !== undefined) reject(new Error(reset.reason));
          },
        },
      );
      if (stream === undefined) reject(new Error("no room for a stream"));
    });
  }
}
