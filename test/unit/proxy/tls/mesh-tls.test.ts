/** TLS between proxies, over both transports: who is let in, and that the bytes survive the hand-over from node:tls. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createSecureContext, connect as tlsConnect } from "node:tls";
import type { LocalIdentity } from "../../../../runtime/proxy/identity/local-identity.ts";
import {
  type AcceptedSession,
  acceptTls,
  connectTls,
  PeerIdentityError,
  type TlsTarget,
} from "../../../../runtime/proxy/tls/mesh-tls.ts";
import { type ByteStream, ConnectError, nobody, type Transport } from "../../../../runtime/proxy/transport/stream.ts";
import { listen, RecordingOwner, send, TRANSPORTS } from "../transport/support.ts";
import { newTrust } from "./support.ts";

const issue = newTrust();
const web = issue("web.test");
const api = issue("api.test");
const TIMEOUTS = { connectMs: 1_000, handshakeMs: 2_000 };

interface Session {
  readonly client: RecordingOwner;
  readonly server: RecordingOwner;
  readonly clientStream: ByteStream;
  readonly accepted: AcceptedSession;
}

/** Accepts one connection as the inbound side does: the first bytes are peeked at. */
async function acceptOne(
  transport: Transport,
  identity: LocalIdentity,
  owner: RecordingOwner,
): Promise<{ port: number; session: Promise<AcceptedSession> }> {
  const { address, accept } = await listen(transport);
  const session = accept().then(async (accepted) => {
    const first = new RecordingOwner();
    const stream = accepted.open(first);
    await first.until(({ chunks, ended }) => chunks.length > 0 || ended);
    return acceptTls(transport, transport.release(stream, first.bytes), identity, 2_000, owner);
  });
  session.catch(() => undefined);
  return { port: address.port, session };
}

async function handshake(
  transport: Transport,
  options: { as?: LocalIdentity; target?: Partial<TlsTarget> } = {},
): Promise<Session> {
  const server = new RecordingOwner();
  const client = new RecordingOwner();
  const { port, session } = await acceptOne(transport, api, server);
  const target: TlsTarget = {
    address: { ip: "127.0.0.1", port },
    identity: api.name,
    serverName: api.name,
    transportHeader: false,
    ...options.target,
  };
  const clientStream = await connectTls(transport, target, options.as ?? web, TIMEOUTS, client);
  return { client, server, clientStream, accepted: await session };
}

for (const transport of TRANSPORTS) {
  describe(`TLS over ${transport.name}`, () => {
    test("both ends know each other, and bytes go both ways", async () => {
      const { client, server, clientStream, accepted } = await handshake(transport);
      assert.deepEqual(accepted.client, { tls: "mutual", identity: "web.test" });
      assert.equal(accepted.transportHeader, false);
      for (let turn = 0; turn < 3; turn++) {
        send(clientStream, "question ");
        await server.until(({ text }) => text === "question ".repeat(turn + 1));
        send(accepted.stream, "answer ");
        await client.until(({ text }) => text === "answer ".repeat(turn + 1));
      }
      clientStream.close();
      accepted.stream.close();
    });

    test("the transport header's protocol is negotiated", async () => {
      const { accepted, clientStream } = await handshake(transport, { target: { transportHeader: true } });
      assert.equal(accepted.transportHeader, true);
      clientStream.close();
    });

    test("large transfers arrive whole, held back by the reader", async () => {
      const { client, clientStream, server, accepted } = await handshake(transport);
      const chunk = Buffer.alloc(50_000);
      let written = 0;
      clientStream.pause();
      while (written < 8_000_000) {
        chunk.fill(written / chunk.length);
        written += chunk.length;
        if (!accepted.stream.write(chunk, 0, chunk.length)) {
          clientStream.resume();
          const before = server.drains;
          await server.until(({ drains }) => drains > before);
        }
      }
      accepted.stream.end();
      await client.until(({ ended }) => ended);
      const bytes = client.bytes;
      assert.equal(bytes.length, written);
      for (let at = 0; at < written; at += chunk.length) assert.equal(bytes[at], (at / chunk.length) & 255);
      clientStream.close();
    });

    test("half-close: after one side's end the other still speaks", async () => {
      const { client, server, clientStream, accepted } = await handshake(transport);
      send(clientStream, "all");
      clientStream.end();
      await server.until(({ ended }) => ended);
      assert.equal(server.text, "all");
      send(accepted.stream, "thank you");
      accepted.stream.end();
      await client.until(({ errno }) => errno === "");
      await server.until(({ errno }) => errno === "");
      assert.equal(client.text, "thank you");
      assert.equal(client.late + server.late, 0);
    });

    test("a reset crosses TLS as a reset", async () => {
      const { client, clientStream, accepted } = await handshake(transport);
      accepted.stream.reset();
      await client.until(({ errno }) => errno !== undefined);
      assert.equal(client.errno, "ECONNRESET");
      clientStream.close();
    });

    test("what the client sends with its handshake comes first, its end after it", async () => {
      const server = new RecordingOwner();
      const { port, session } = await acceptOne(transport, api, server);
      const context = web.context() as NonNullable<ReturnType<LocalIdentity["context"]>>;
      const socket = tlsConnect({
        host: "127.0.0.1",
        port,
        servername: api.name,
        secureContext: context,
        checkServerIdentity: () => undefined,
      });
      socket.end("early ".repeat(20_000));
      const { stream } = await session;
      await server.until(({ ended }) => ended);
      assert.equal(server.text, "early ".repeat(20_000));
      stream.close();
      socket.destroy();
    });

    test("an adopted stream that is paused at once keeps what it has", async () => {
      const server = new RecordingOwner();
      const { port, session } = await acceptOne(transport, api, server);
      const context = web.context() as NonNullable<ReturnType<LocalIdentity["context"]>>;
      const socket = tlsConnect({
        host: "127.0.0.1",
        port,
        servername: api.name,
        secureContext: context,
        checkServerIdentity: () => undefined,
      });
      socket.write("early");
      const { stream } = await session;
      stream.pause();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(server.text, "");
      stream.resume();
      await server.until(({ text }) => text === "early");
      stream.close();
      socket.destroy();
    });

    test("a client without a certificate is let in, and not known", async () => {
      const server = new RecordingOwner();
      const { port, session } = await acceptOne(transport, api, server);
      const socket = tlsConnect({ host: "127.0.0.1", port, servername: api.name, rejectUnauthorized: false });
      const { client, stream } = await session;
      assert.deepEqual(client, { tls: "server" });
      stream.close();
      socket.destroy();
    });

    test("a client whose certificate leads elsewhere, or has expired, is refused", async () => {
      for (const stranger of [newTrust()("web.test"), issue("web.test", { expired: true })]) {
        const server = new RecordingOwner();
        const { port, session } = await acceptOne(transport, api, server);
        const socket = tlsConnect({
          host: "127.0.0.1",
          port,
          servername: api.name,
          rejectUnauthorized: false,
          secureContext: stranger.context() ?? createSecureContext(),
        });
        socket.on("error", () => undefined);
        await assert.rejects(session, PeerIdentityError);
        socket.destroy();
      }
    });

    test("a server that is somebody else, a stranger or expired is refused before anything is sent", async () => {
      await assert.rejects(handshake(transport, { target: { identity: "other.test" } }), (error) => {
        return error instanceof PeerIdentityError && error.message.includes('is "api.test", not "other.test"');
      });
      for (const identity of [newTrust()("api.test"), issue("api.test", { expired: true })]) {
        const { port } = await acceptOne(transport, identity, new RecordingOwner());
        const target = {
          address: { ip: "127.0.0.1", port },
          identity: "api.test",
          serverName: "api.test",
          transportHeader: false,
        };
        await assert.rejects(connectTls(transport, target, web, TIMEOUTS, nobody), PeerIdentityError);
      }
    });

    test("a peer that speaks no TLS, or nothing, fails in time", async () => {
      const { address, accept } = await listen(transport);
      const target = { address, identity: "api.test", serverName: "api.test", transportHeader: false };
      const silent = connectTls(transport, target, web, { connectMs: 1_000, handshakeMs: 100 }, nobody);
      const first = (await accept()).open(nobody);
      await assert.rejects(silent, (error) => error instanceof ConnectError && error.code === "ETIMEDOUT");
      first.close();
      const other = connectTls(transport, target, web, TIMEOUTS, nobody);
      const second = (await accept()).open(nobody);
      send(second, "HTTP/1.1 400 Bad Request\r\n\r\n");
      await assert.rejects(other, PeerIdentityError);
      second.close();
    });

    test("without a certificate of its own nobody is dialled", async () => {
      const none: LocalIdentity = { ...web, context: () => undefined };
      const target = { address: { ip: "127.0.0.1", port: 1 }, identity: "x", serverName: "x", transportHeader: false };
      await assert.rejects(connectTls(transport, target, none, TIMEOUTS, nobody), PeerIdentityError);
    });

    test("without a valid certificate of its own nobody is let in", async () => {
      const none: LocalIdentity = { ...api, context: () => undefined };
      const { port, session } = await acceptOne(transport, none, new RecordingOwner());
      const target = {
        address: { ip: "127.0.0.1", port },
        identity: api.name,
        serverName: api.name,
        transportHeader: false,
      };
      await assert.rejects(connectTls(transport, target, web, TIMEOUTS, nobody), ConnectError);
      await assert.rejects(session, PeerIdentityError);
    });
  });
}
