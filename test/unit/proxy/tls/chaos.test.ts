/** Many TLS streams written, held, half-closed, closed and reset at random: each tells its end once, and Node survives. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { acceptTls, connectTls } from "../../../../runtime/proxy/tls/mesh-tls.ts";
import type { ByteStream, Transport } from "../../../../runtime/proxy/transport/stream.ts";
import { randomFrom } from "../../../fuzz/http1-requests.ts";
import { listen, RecordingOwner, TRANSPORTS } from "../transport/support.ts";
import { newTrust } from "./support.ts";

const issue = newTrust();
const api = issue("api.test");
const web = issue("web.test");
const chunk = Buffer.alloc(40_000, "x");

async function misuse(stream: ByteStream, random: (below: number) => number): Promise<void> {
  for (let turns = 2 + random(12); turns > 0; turns--) {
    switch (random(10)) {
      case 0:
        stream.pause();
        break;
      case 1:
        stream.resume();
        break;
      case 2:
        await sleep(random(4));
        break;
      case 3:
        stream.end();
        break;
      default:
        stream.write(chunk, 0, 1 + random(chunk.length));
    }
  }
  if (random(3) === 0) await sleep(random(10));
  if (random(2) === 0) stream.reset();
  else stream.close();
}

async function session(transport: Transport, random: (below: number) => number): Promise<void> {
  const { address, accept, close } = await listen(transport);
  const owners = [new RecordingOwner(), new RecordingOwner()] as const;
  const target = { address, identity: api.name, serverName: api.name, transportHeader: false };
  const accepting = accept().then(async (accepted) => {
    const first = new RecordingOwner();
    const stream = accepted.open(first);
    await first.until(({ chunks }) => chunks.length > 0);
    return acceptTls(transport, transport.release(stream, first.bytes), api, 5_000, owners[1]);
  });
  const client = await connectTls(transport, target, web, { connectMs: 5_000, handshakeMs: 5_000 }, owners[0]);
  const work = [misuse(client, random)];
  // Its peer may be gone before it is there.
  const server = await accepting.catch(() => undefined);
  if (server !== undefined) work.push(misuse(server.stream, random));
  await Promise.all(work);
  close();
  await owners[0].until(({ errno }) => errno !== undefined);
  if (server !== undefined) await owners[1].until(({ errno }) => errno !== undefined);
  await sleep(5);
  assert.deepEqual([owners[0].late, owners[1].late], [0, 0]);
}

for (const transport of TRANSPORTS) {
  describe(`chaos over ${transport.name}`, () => {
    test("every stream ends once", async () => {
      const random = randomFrom(42);
      for (let round = 0; round < 5; round++) {
        await Promise.all(Array.from({ length: 12 }, () => session(transport, random)));
      }
    });
  });
}
