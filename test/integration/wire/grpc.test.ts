/** Our gRPC client against grpc-js's server, and against servers that are none or fall silent. */
import assert from "node:assert/strict";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type handleServerStreamingCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerOptions,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import type { GrpcCall } from "../../../runtime/wire/grpc/call.ts";
import type { GrpcChannel } from "../../../runtime/wire/grpc/channel.ts";
import type { GrpcStatus } from "../../../runtime/wire/grpc/status.ts";
import { openChannel } from "./support.ts";

type Handler = handleServerStreamingCall<Buffer, Buffer>;

const PATH = "/test.Service/Stream";
const bytes = (value: Buffer): Buffer => value;
const METHOD = {
  path: PATH,
  requestStream: false,
  responseStream: true,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
} as const;

async function serving(
  stream: Handler,
  run: (channel: GrpcChannel, server: Server, port: number) => Promise<void>,
  {
    server: serverOptions = {},
    ...channelOptions
  }: Parameters<typeof openChannel>[1] & { server?: ServerOptions } = {},
): Promise<void> {
  const server = new Server({ "grpc.max_receive_message_length": -1, ...serverOptions });
  server.addService({ stream: METHOD }, { stream });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const channel = openChannel(port, channelOptions);
  try {
    await run(channel, server, port);
  } finally {
    channel.close();
    server.forceShutdown();
  }
}

interface Outcome {
  readonly messages: readonly Buffer[];
  readonly status: GrpcStatus;
}

function ask(channel: GrpcChannel, request: Buffer, timeoutMs?: number, path = PATH): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: Buffer[] = [];
    channel.call(
      path,
      request,
      {
        onMessage: (message) => messages.push(Buffer.from(message)),
        onEnd: (ended) => resolve({ messages, status: ended }),
      },
      timeoutMs,
    );
  });
}

function refuse(call: ServerWritableStream<Buffer, Buffer>, code: status, details: string): void {
  call.emit("error", Object.assign(new Error(details), { code, details, metadata: new Metadata() }));
}

/** A server of bytes: what it does is up to the test. */
async function raw(
  onSocket: (socket: Socket) => void,
): Promise<{ port: number; accepted: () => number; close: () => void }> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe("gRPC with grpc-js's server", () => {
  it("brings messages of all sizes in order, and the request in full", () =>
    serving(
      (call) => {
        for (const size of [0, 1, 100, 16_379, 16_380, 70_000, 3_000_000, 5]) {
          call.write(Buffer.concat([call.request.subarray(0, 4), Buffer.alloc(size, size)]));
        }
        call.write(Buffer.from(`${call.request.length}`));
        call.end();
      },
      async (channel) => {
        const request = Buffer.concat([Buffer.from("head"), Buffer.alloc(2_000_000, 7)]);
        const { messages, status: ended } = await ask(channel, request);
        assert.equal(ended.code, 0, ended.message);
        assert.deepEqual(
          messages.map(({ length }) => length),
          [4, 5, 104, 16_383, 16_384, 70_004, 3_000_004, 9, 7],
        );
        assert.ok(messages[6]?.subarray(4).equals(Buffer.alloc(3_000_000, 3_000_000)));
        assert.equal(messages[8]?.toString(), "2000004");
      },
    ));

  it("tells the status and the message that it ends with, before and after messages", () =>
    serving(
      (call) => {
        if (call.request.toString() === "late") call.write(Buffer.from("one"));
        refuse(call, status.NOT_FOUND, "kein Größenwert: 100 %\n");
      },
      async (channel) => {
        for (const request of ["early", "late"]) {
          const { messages, status: ended } = await ask(channel, Buffer.from(request));
          assert.deepEqual(ended, { code: status.NOT_FOUND, message: "kein Größenwert: 100 %\n" });
          assert.equal(messages.length, request === "late" ? 1 : 0);
        }
        const unknown = await ask(channel, Buffer.alloc(0), undefined, "/test.Service/Nothing");
        assert.equal(unknown.status.code, status.UNIMPLEMENTED);
      },
    ));

  it("ends at its deadline, and both ends know", async () => {
    let cancelled = 0;
    let deadline = 0;
    await serving(
      (call) => {
        deadline = Number(call.getDeadline());
        call.on("cancelled", () => cancelled++);
        call.write(Buffer.from("one"));
      },
      async (channel) => {
        const began = Date.now();
        const { messages, status: ended } = await ask(channel, Buffer.alloc(0), 150);
        assert.equal(messages.length, 1);
        assert.equal(ended.code, status.DEADLINE_EXCEEDED);
        assert.match(ended.message, /no answer within 150 ms/);
        assert.ok(deadline - began > 50 && deadline - began < 1_000, `the server was told ${deadline - began} ms`);
        await sleep(50);
        assert.equal(cancelled, 1);
      },
    );
  });

  it("is cancelled at both ends, and nothing is told afterwards", async () => {
    let cancelled = 0;
    await serving(
      (call) => {
        const timer = setInterval(() => call.write(Buffer.from("more")), 5);
        call.on("cancelled", () => {
          cancelled++;
          clearInterval(timer);
        });
      },
      async (channel) => {
        let told = 0;
        const call = channel.call(PATH, Buffer.alloc(0), { onMessage: () => told++, onEnd: () => (told = 1_000) });
        while (told < 3) await sleep(5);
        call.cancel();
        const before = told;
        await sleep(60);
        assert.equal(told, before);
        assert.equal(cancelled, 1);
        // The connection is as good as before.
        const others = channel.call(PATH, Buffer.alloc(0), { onMessage: () => told++, onEnd: () => undefined });
        while (told < before + 2) await sleep(5);
        others.cancel();
      },
    );
  });

  it("holds the server back while it is paused, and loses nothing", async () => {
    let written = 0;
    await serving(
      (call) => {
        const more = (): void => {
          while (written < 400 && call.write(Buffer.alloc(10_000, written++))) {
            // As long as it takes them.
          }
          if (written >= 400) call.end();
        };
        call.on("drain", more);
        more();
      },
      async (channel) => {
        let seen = 0;
        let call: GrpcCall | undefined;
        const ended = new Promise<GrpcStatus>((resolve) => {
          call = channel.call(PATH, Buffer.alloc(0), {
            onMessage: (message) => {
              assert.equal(message[0], seen % 256);
              seen++;
              if (seen % 50 === 3) call?.pause();
            },
            onEnd: resolve,
          });
        });
        while (seen < 3) await sleep(5);
        await sleep(200);
        assert.equal(seen, 3);
        assert.ok(written < 200, `${written} written while paused`);
        let over = false;
        void ended.then(() => {
          over = true;
        });
        while (!over) {
          call?.resume();
          await sleep(5);
        }
        assert.equal((await ended).code, 0);
        assert.equal(seen, 400);
      },
    );
  });

  it("refuses a message larger than it takes", () =>
    serving(
      (call) => call.write(Buffer.alloc(2_000)),
      async (channel) => {
        const { status: ended } = await ask(channel, Buffer.alloc(0));
        assert.equal(ended.code, status.RESOURCE_EXHAUSTED);
        assert.match(ended.message, /2000 bytes, more than 1000/);
      },
      { maxMessageBytes: 1_000 },
    ));

  it("uses one connection for many calls, and waits where the server allows no more", async () => {
    let most = 0;
    let open = 0;
    await serving(
      (call) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          call.write(call.request);
          call.end();
        }, 10);
      },
      async (channel) => {
        // SETTINGS come with the first answer.
        await ask(channel, Buffer.from("first"));
        const all = await Promise.all(Array.from({ length: 40 }, (_, index) => ask(channel, Buffer.from(`${index}`))));
        for (const [index, { messages, status: ended }] of all.entries()) {
          assert.equal(ended.code, 0);
          assert.equal(messages[0]?.toString(), `${index}`);
        }
        assert.equal(most, 7);
      },
      { server: { "grpc.max_concurrent_streams": 7 } },
    );
  });

  it("moves to another connection when the server closes one for its age", async () => {
    const peers = new Set<string>();
    await serving(
      (call) => {
        peers.add(call.getPeer());
        setTimeout(() => {
          call.write(Buffer.from("x"));
          call.end();
        }, 30);
      },
      async (channel) => {
        for (let index = 0; index < 40; index++) {
          const { status: ended } = await ask(channel, Buffer.alloc(0));
          assert.equal(ended.code, 0, ended.message);
        }
        assert.ok(peers.size > 2, `${peers.size} connections`);
      },
      { server: { "grpc.max_connection_age_ms": 200, "grpc.max_connection_age_grace_ms": 5_000 } },
    );
  });

  it("ends calls with Unavailable when the connection is lost, and connects anew", async () => {
    await serving(
      (call) => {
        call.write(Buffer.from("x"));
      },
      async (channel, server, port) => {
        const lost = ask(channel, Buffer.alloc(0));
        await sleep(50);
        server.forceShutdown();
        assert.ok([status.UNAVAILABLE, status.CANCELLED].includes((await lost).status.code));
        const refused = await ask(channel, Buffer.alloc(0));
        assert.equal(refused.status.code, status.UNAVAILABLE);
        assert.match(refused.status.message, /ECONNREFUSED/);
        // At once again: nobody is asked, the answer is the same.
        assert.match((await ask(channel, Buffer.alloc(0))).status.message, /ECONNREFUSED/);
        const next = new Server();
        next.addService({ stream: METHOD }, { stream: (call: ServerWritableStream<Buffer, Buffer>) => call.end() });
        await new Promise((resolve) =>
          next.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), resolve),
        );
        await sleep(500);
        assert.equal((await ask(channel, Buffer.alloc(0))).status.code, 0);
        next.forceShutdown();
      },
    );
  });

  it("closes a connection that nobody uses, and a retired channel with its last call", async () => {
    await serving(
      (call) => {
        setTimeout(() => call.end(), Number(call.request.toString()));
      },
      async (channel, server) => {
        const sessions = (): number => (server as unknown as { sessions: Map<unknown, unknown> }).sessions.size;
        await ask(channel, Buffer.from("0"));
        await sleep(150);
        assert.equal(sessions(), 0);
        const last = ask(channel, Buffer.from("100"));
        await sleep(30);
        channel.retire();
        assert.equal((await ask(channel, Buffer.from("0"))).status.code, status.UNAVAILABLE);
        assert.equal((await last).status.code, 0);
        await sleep(150);
        assert.equal(sessions(), 0);
      },
      { idleMs: 50 },
    );
  });
});

describe("gRPC with servers that are none", () => {
  it("an HTTP answer is a status", async () => {
    const server = createHttp2Server();
    server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      const code = Number(String(headers[":path"]).slice(1));
      stream.respond({ ":status": code, "content-type": code === 200 ? "text/html" : "application/grpc" });
      stream.end("<html>");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const channel = openChannel((server.address() as AddressInfo).port);
    try {
      for (const [http, code] of [
        [503, status.UNAVAILABLE],
        [404, status.UNIMPLEMENTED],
        [401, status.UNAUTHENTICATED],
        [403, status.PERMISSION_DENIED],
        [500, status.UNKNOWN],
        [200, status.UNKNOWN],
      ] as const) {
        const { status: ended, messages } = await ask(channel, Buffer.from("x"), undefined, `/${http}`);
        assert.equal(ended.code, code);
        assert.match(ended.message, http === 200 ? /content type text\/html/ : /HTTP status/);
        assert.equal(messages.length, 0);
      }
    } finally {
      channel.close();
      server.close();
    }
  });

  it("an HTTP/1 server ends the call, not the process", async () => {
    const server = await raw((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const channel = openChannel(server.port);
    try {
      const { status: ended } = await ask(channel, Buffer.alloc(0));
      assert.equal(ended.code, status.UNAVAILABLE);
      assert.match(ended.message, /SETTINGS|frame/);
    } finally {
      channel.close();
      server.close();
    }
  });

  it("silence on an open stream ends it", async () => {
    // SETTINGS and nothing else: as a host that lost its power.
    const server = await raw((socket) => socket.write(Buffer.from("000000040000000000", "hex")));
    const channel = openChannel(server.port, { aliveEveryMs: 100, aliveWithinMs: 100 });
    try {
      const began = performance.now();
      const { status: ended } = await ask(channel, Buffer.alloc(0));
      const waited = performance.now() - began;
      assert.equal(ended.code, status.UNAVAILABLE);
      assert.match(ended.message, /no sign of life within 100 ms/);
      assert.ok(waited > 150 && waited < 1_000, `${waited} ms`);
    } finally {
      channel.close();
      server.close();
    }
  });

  it("a server that goes away at once, always, is not called without end", async () => {
    const goAway = Buffer.from("000000040000000000000008070000000000000000000000000000000000", "hex").subarray(0, 26);
    const server = await raw((socket) => socket.write(goAway));
    const channel = openChannel(server.port);
    try {
      const { status: ended } = await ask(channel, Buffer.alloc(0));
      assert.equal(ended.code, status.UNAVAILABLE);
      assert.ok(server.accepted() <= 3, `${server.accepted()} connections`);
    } finally {
      channel.close();
      server.close();
    }
  });

  it("a connection that does not come about in time is given up", async () => {
    // A dial that never ends.
    const channel = openChannel(1, {
      connectWithinMs: 80,
      dial: () => ({ write: () => true, close: () => undefined }),
    });
    const { status: ended } = await ask(channel, Buffer.alloc(0));
    assert.equal(ended.code, status.UNAVAILABLE);
    assert.match(ended.message, /no connection within 80 ms/);
    channel.close();
  });
});
