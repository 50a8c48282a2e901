/** Our gRPC server against grpc-js's client. */
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ChannelCredentials, Client, type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import { type ServeMethod, serveCalls } from "../../../runtime/wire/grpc/server.ts";
import { ServerConnection } from "../../../runtime/wire/http2/server-connection.ts";
import { INITIAL_SETTINGS } from "../../../runtime/wire/http2/settings.ts";

const PATH = "/test.Service/Method";
const bytes = (value: Buffer): Buffer => value;

/** Serves `method` on a port, and calls it with grpc-js. */
async function serving(method: ServeMethod, run: (client: Client, port: number) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    let flushing: NodeJS.Immediate | undefined;
    const flush = (): void => {
      flushing = undefined;
      if (socket.writableNeedDrain || !socket.writable) return;
      connection.flush((chunk, start, end) => socket.write(Buffer.from(chunk.subarray(start, end))));
    };
    const connection = new ServerConnection({
      settings: { ...INITIAL_SETTINGS, maxHeaderListBytes: 16_384 },
      connectionWindow: 1_000_000,
      maxHeaderBlockBytes: 16_384,
      onRequest: serveCalls(new Map([[PATH, method]]), 100_000),
      events: {
        onOutput: () => {
          flushing ??= setImmediate(flush);
        },
        onGoAway: () => undefined,
        onPingAck: () => undefined,
        onIdle: () => undefined,
        onSettings: () => undefined,
        onClose: () => {
          clearImmediate(flushing);
          flush();
          socket.destroySoon();
        },
      },
    });
    socket.on("data", (chunk: Buffer) => connection.receive(chunk, 0, chunk.length));
    socket.on("drain", flush);
    socket.on("error", () => undefined);
    socket.on("close", () => connection.close());
    flush();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = new Client(`127.0.0.1:${port}`, ChannelCredentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  });
  try {
    await run(client, port);
  } finally {
    client.close();
    server.close();
  }
}

function call(client: Client, request: Buffer, path = PATH): ClientReadableStream<Buffer> {
  return client.makeServerStreamRequest(path, bytes, bytes, request);
}

async function ask(
  client: Client,
  request: Buffer,
  path = PATH,
): Promise<{ messages: Buffer[]; code: number; details: string }> {
  const messages: Buffer[] = [];
  const stream = call(client, request, path);
  stream.on("data", (message: Buffer) => messages.push(message));
  const error = await new Promise<ServiceError | undefined>((resolve) => {
    stream.on("error", resolve);
    stream.on("end", () => resolve(undefined));
  });
  return { messages, code: error?.code ?? status.OK, details: error?.details ?? "" };
}

describe("gRPC calls of grpc-js's client", () => {
  it("get messages of all sizes in order, and the status", () =>
    serving(
      (served, request) => {
        for (const size of [0, 1, 16_380, 200_000, 7]) served.write(Buffer.alloc(size, 1));
        served.write(Buffer.from(`${request.length}`));
        served.end({ code: 9, message: " größer als 100 %\n" });
      },
      async (client) => {
        for (const length of [0, 5, 90_000]) {
          const { messages, code, details } = await ask(client, Buffer.alloc(length));
          assert.deepEqual(
            messages.map((message) => message.length),
            [0, 1, 16_380, 200_000, 7, `${length}`.length],
          );
          assert.equal(messages[5]?.toString(), `${length}`);
          assert.deepEqual([code, details], [9, " größer als 100 %\n"]);
        }
      },
    ));

  it("are refused where there is no such method, and where the request is too large", () =>
    serving(
      (served) => served.end({ code: 0, message: "" }),
      async (client) => {
        assert.equal((await ask(client, Buffer.alloc(0))).code, status.OK);
        assert.equal((await ask(client, Buffer.alloc(0), "/test.Service/Other")).code, status.UNIMPLEMENTED);
        assert.equal((await ask(client, Buffer.alloc(2_000_000))).code, status.RESOURCE_EXHAUSTED);
        assert.equal((await ask(client, Buffer.alloc(0))).code, status.OK);
      },
    ));

  it("hold a server back that writes faster than they read", async () => {
    let behind = 0;
    let drained = 0;
    await serving(
      (served) => {
        let left = 300;
        const more = (): void => {
          while (left > 0) {
            left--;
            if (served.write(Buffer.alloc(20_000, left))) continue;
            behind++;
            return;
          }
          served.end({ code: 0, message: "" });
        };
        served.onDrain = () => {
          drained++;
          more();
        };
        more();
      },
      async (client) => {
        const stream = call(client, Buffer.alloc(0));
        await sleep(100);
        assert.equal(behind, drained + 1);
        const before = drained;
        let seen = 0;
        for await (const message of stream) assert.equal((message as Buffer)[0], (299 - seen++) % 256);
        assert.equal(seen, 300);
        assert.ok(drained > before);
      },
    );
  });

  it("end at the server when the client gives them up, or is gone", async () => {
    let cancelled = 0;
    await serving(
      (served) => {
        served.onCancel = () => {
          cancelled++;
          assert.equal(served.write(Buffer.from("late")), false);
        };
        served.write(Buffer.from("first"));
      },
      async (client) => {
        const first = call(client, Buffer.alloc(0));
        first.on("error", () => undefined);
        await new Promise((resolve) => first.once("data", resolve));
        first.cancel();
        const second = call(client, Buffer.alloc(0));
        second.on("error", () => undefined);
        await new Promise((resolve) => second.once("data", resolve));
        assert.equal(cancelled, 1);
        second.cancel();
        client.close();
        for (let tries = 0; cancelled < 2 && tries < 100; tries++) await sleep(10);
        assert.equal(cancelled, 2);
      },
    );
  });

  it("are not what another request is", () =>
    serving(
      (served) => served.end({ code: 0, message: "" }),
      async (_, port) => {
        const session = connect(`http://127.0.0.1:${port}`);
        const request = session.request({ ":method": "GET", ":path": PATH });
        const answered = await new Promise<Record<string, unknown>>((resolve) => request.on("response", resolve));
        assert.equal(answered[":status"], 415);
        session.close();
      },
    ));
});
