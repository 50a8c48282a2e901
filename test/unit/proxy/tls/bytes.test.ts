/** Megabytes over several TLS streams at once, in full records, with readers that are slow at times: each gets its own, in order. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { acceptTls, connectTls } from "../../../../runtime/proxy/tls/mesh-tls.ts";
import { type ByteStream, FULL_RECORD_BYTES, type Transport } from "../../../../runtime/proxy/transport/stream.ts";
import { listen, RecordingOwner, TRANSPORTS } from "../transport/support.ts";
import { newTrust } from "./support.ts";

const issue = newTrust();
const api = issue("api.test");
const web = issue("web.test");
const CHUNKS = 400;

interface Session {
  readonly writer: ByteStream;
  readonly written: RecordingOwner;
  readonly reader: ByteStream;
  readonly read: RecordingOwner;
}

async function session(transport: Transport): Promise<Session> {
  const { address, accept, close } = await listen(transport);
  const [written, read] = [new RecordingOwner(), new RecordingOwner()];
  const accepting = accept().then(async (accepted) => {
    const first = new RecordingOwner();
    const stream = accepted.open(first);
    await first.until(({ chunks }) => chunks.length > 0);
    return acceptTls(transport, transport.release(stream, first.bytes), api, 5_000, read);
  });
  const target = { address, identity: api.name, serverName: api.name, transportHeader: false };
  const writer = await connectTls(transport, target, web, { connectMs: 5_000, handshakeMs: 5_000 }, written);
  const { stream: reader } = await accepting;
  close();
  return { writer, written, reader, read };
}

/** Each chunk says whose it is, and its number. */
async function fill({ writer, written }: Session, own: number): Promise<void> {
  const chunk = Buffer.alloc(FULL_RECORD_BYTES);
  for (let number = 0; number < CHUNKS; number++) {
    for (let at = 0; at < chunk.length; at += 8) {
      chunk.writeUInt32BE(own, at);
      chunk.writeUInt32BE(number, at + 4);
    }
    const { drains } = written;
    if (!writer.write(chunk, 0, chunk.length)) await written.until((owner) => owner.drains > drains);
    else if (number % 16 === 0) await sleep(0);
  }
  writer.end();
}

async function dawdle({ reader, read }: Session): Promise<void> {
  while (!read.ended) {
    reader.pause();
    await sleep(3);
    reader.resume();
    await sleep(3);
  }
}

for (const transport of TRANSPORTS) {
  describe(`bytes under TLS over ${transport.name}`, () => {
    test("of several streams never mix", async () => {
      const sessions = await Promise.all(Array.from({ length: 6 }, () => session(transport)));
      await Promise.all(sessions.flatMap((one, own) => [fill(one, own + 1), ...(own % 2 === 0 ? [dawdle(one)] : [])]));
      for (const [index, { read, reader }] of sessions.entries()) {
        await read.until(({ ended }) => ended);
        const { bytes } = read;
        assert.equal(bytes.length, CHUNKS * FULL_RECORD_BYTES);
        for (let at = 0; at < bytes.length; at += 8) {
          const right =
            bytes.readUInt32BE(at) === index + 1 && bytes.readUInt32BE(at + 4) === Math.floor(at / FULL_RECORD_BYTES);
          if (!right) assert.fail(`stream ${index + 1}: other bytes at ${at}`);
        }
        reader.close();
      }
    });
  });
}
