/** Our client against node:http2's server: another implementation of the same RFCs. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type Http2Server, type ServerHttp2Stream, type ServerOptions } from "node:http2";
import { describe, it } from "node:test";
import { type HeaderField, literalField } from "../../../runtime/wire/hpack/field.ts";
import { internField } from "../../../runtime/wire/hpack/intern.ts";
import { errorCode } from "../../../runtime/wire/http2/protocol.ts";
import type { Settings } from "../../../runtime/wire/http2/settings.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../../../runtime/wire/http2/stream.ts";
import { type Connected, connectHttp2 } from "./support.ts";

interface Answer {
  readonly status: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly trailers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly reset: StreamReset | undefined;
}

/** Sends `body` as fast as the other end lets it, reads as fast as bytes come. */
function exchange(
  { http2 }: Connected,
  path: string,
  body: Buffer,
  more: readonly HeaderField[] = [],
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const fields = new Map<string, string>();
    const trailers = new Map<string, string>();
    let sent = 0;
    let stream: Http2Stream | undefined;
    const handler: StreamHandler = {
      onInformational: () => undefined,
      onHeaders: (head) => {
        for (const { name, value } of head) fields.set(name, value);
      },
      onData: (bytes, start, end) => {
        chunks.push(Buffer.from(bytes.subarray(start, end)));
        stream?.consume(end - start);
      },
      onTrailers: (all) => {
        for (const { name, value } of all) trailers.set(name, value);
      },
      onWritable: () => {
        sent += stream?.send(body, sent, body.length, true) ?? 0;
      },
      onClose: (reset) => {
        resolve({ status: fields.get(":status") ?? "", fields, trailers, body: Buffer.concat(chunks), reset });
      },
    };
    const head = [
      internField(":method", "POST"),
      internField(":scheme", "http"),
      internField(":path", path),
      internField(":authority", "test"),
      ...more,
    ];
    stream = http2.request(head, body.length === 0, handler);
    if (stream === undefined) reject(new Error("no stream"));
    else if (body.length > 0) handler.onWritable();
  });
}

async function serving(
  options: ServerOptions,
  serve: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void,
  run: (client: Connected, server: Http2Server) => Promise<void>,
  settings: Partial<Settings> = {},
): Promise<void> {
  const server = createServer(options);
  server.on("stream", serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = await connectHttp2((server.address() as { port: number }).port, settings);
  try {
    await run(client, server);
  } finally {
    client.close();
    server.close();
  }
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Sends back what comes, with its digest as trailer. */
function echo(stream: ServerHttp2Stream): void {
  const hash = createHash("sha256");
  stream.respond({ ":status": 200 }, { waitForTrailers: true });
  stream.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    if (!stream.write(chunk)) stream.pause();
  });
  stream.on("drain", () => stream.resume());
  stream.on("wantTrailers", () => stream.sendTrailers({ digest: hash.digest("hex") }));
  stream.on("end", () => stream.end());
  stream.on("error", () => undefined);
}

describe("HTTP/2 with node:http2", () => {
  it("carries bodies of megabytes both ways on many streams, through windows of any size", async () => {
    for (const [theirs, ours] of [
      [{}, {}],
      [{ settings: { initialWindowSize: 1_000, maxFrameSize: 20_000 } }, { initialWindow: 70_000 }],
      [{ settings: { initialWindowSize: 4_000_000 } }, { maxFrameBytes: 100_000, initialWindow: 1_000_000 }],
    ] as const) {
      await serving(
        theirs,
        echo,
        async (client) => {
          const bodies = Array.from({ length: 20 }, (_, index) => Buffer.alloc(index * 60_001, index));
          const answers = await Promise.all(bodies.map((body) => exchange(client, "/echo", body)));
          for (const [index, { status, trailers, body, reset }] of answers.entries()) {
            assert.equal(reset, undefined);
            assert.equal(status, "200");
            assert.equal(body.length, index * 60_001);
            assert.equal(digest(body), digest(bodies[index]!));
            assert.equal(trailers.get("digest"), digest(bodies[index]!));
          }
        },
        ours,
      );
    }
  });

  it("agrees with it on headers, whatever its table", async () => {
    for (const headerTableSize of [0, 100, 4_096, 65_536]) {
      await serving(
        { settings: { headerTableSize } },
        (stream, headers) => {
          const answer: Record<string, string> = {};
          for (const [name, value] of Object.entries(headers)) {
            if (name.startsWith("x-")) answer[name] = String(value);
          }
          stream.respond({ ":status": 200, ...answer }, { endStream: true });
        },
        async (client) => {
          for (let round = 0; round < 60; round++) {
            const more = [
              internField("x-same", "always the same"),
              internField("x-round", `${round}`),
              literalField("x-literal", "~".repeat(round * 7)),
              internField(`x-name-${round % 7}`, "é\u00ff%"),
              internField("x-long", "v".repeat(round % 3 === 0 ? 3_000 : 3)),
            ];
            const { fields, reset } = await exchange(client, "/", Buffer.alloc(0), more);
            assert.equal(reset, undefined);
            for (const { name, value } of more) assert.equal(fields.get(name), value);
          }
        },
        { headerTableBytes: headerTableSize },
      );
    }
  });

  it("sends and takes header blocks of several frames", () =>
    serving(
      { maxHeaderListPairs: 1_000, settings: { maxHeaderListSize: 65_536 } },
      (stream, headers) => stream.respond({ ":status": 200, "x-long": String(headers["x-long"]) }, { endStream: true }),
      async (client) => {
        const long = "l".repeat(40_000);
        const { fields } = await exchange(client, "/", Buffer.alloc(0), [literalField("x-long", long)]);
        assert.equal(fields.get("x-long"), long);
      },
    ));

  it("tells of a reset, and goes on with other streams", () =>
    serving(
      {},
      (stream) => {
        stream.on("error", () => undefined);
        stream.close(errorCode.enhanceYourCalm);
      },
      async (client) => {
        for (let round = 0; round < 2; round++) {
          const { reset } = await exchange(client, "/", Buffer.alloc(100_000));
          assert.equal(reset?.code, errorCode.enhanceYourCalm);
        }
      },
    ));

  it("goes on with what it has when the server goes away, and opens nothing new", () =>
    serving(
      {},
      (stream) => {
        stream.session?.goaway(0, stream.id ?? 0, Buffer.from("bye"));
        setTimeout(() => {
          stream.respond({ ":status": 200 });
          stream.end("done");
        }, 50);
      },
      async (client) => {
        const { body, reset } = await exchange(client, "/", Buffer.alloc(0));
        assert.equal(body.toString(), "done");
        assert.equal(reset, undefined);
        assert.match(client.goneAway[0] ?? "", /NO_ERROR, bye/);
        await assert.rejects(exchange(client, "/", Buffer.alloc(0)), /no stream/);
      },
    ));
});
