/**
 * Mutated HTTP/1 requests through the relay, and what it forwards through node:http's parser: the server must never see
 * more requests than the relay sent, or others; and where the input is cut must make no difference.
 *
 *   node test/fuzz/http1-requests.ts [--seconds 60] [--seed 1]
 */
import { createServer, type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { parseArgs } from "node:util";
import type { Destination, HttpService } from "../../runtime/proxy/http/service.ts";
import { Downstream } from "../../runtime/proxy/http1/downstream.ts";
import { UpstreamPool } from "../../runtime/proxy/http1/pool.ts";
import type { TcpSeries } from "../../runtime/proxy/metrics/series.ts";
import { MemoryStream } from "../unit/proxy/http1/memory-stream.ts";
import { noHttp2 } from "../unit/proxy/http1/no-http2.ts";

const uncounted: TcpSeries = {
  opened: () => undefined,
  closed: () => undefined,
  read: () => undefined,
  wrote: () => undefined,
};

const SEEDS = [
  "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
  "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
  "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
  "POST /a HTTP/1.1\r\nhost: a\r\nconnection: x, close\r\nx: y\r\ncontent-length: 28\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
  "PUT /a HTTP/1.0\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabcGET /b HTTP/1.0\r\n\r\n",
];

/** What attacks are made of. */
const WORDS = [
  ...[
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    " ",
    ":",
    ";",
    ",",
    "0\r\n\r\n",
    "\r\n\r\n",
    "chunked",
    "identity",
    "\x0b",
    "\xff",
    "+",
    "0x",
  ],
  ...[
    "content-length: 5\r\n",
    "Content-Length: 0\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
  ],
  ...[
    "transfer-encoding:\tchunked\r\n",
    "connection: content-length\r\n",
    "connection: transfer-encoding\r\n",
    "expect: 100-continue\r\n",
  ],
  ...[
    "GET /x HTTP/1.1\r\nhost: a\r\n\r\n",
    " HTTP/1.1\r\n",
    "host: b\r\n",
    "x: y\r\n z\r\n",
    "upgrade: h2c\r\nconnection: upgrade\r\n",
  ],
];

/** A small generator with a seed: what was found can be found again. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

export function mutate(random: (below: number) => number): string {
  let text = SEEDS[random(SEEDS.length)] as string;
  for (let turns = 1 + random(4); turns > 0; turns--) {
    const at = random(text.length + 1);
    const word = WORDS[random(WORDS.length)] as string;
    switch (random(4)) {
      case 0:
        text = text.slice(0, at) + word + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + random(6));
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
        break;
      default: {
        // A line more in some head.
        const line = text.indexOf("\r\n", at);
        if (line >= 0) text = text.slice(0, line + 2) + word + text.slice(line + 2);
      }
    }
  }
  return text;
}

interface Forwarded {
  readonly bytes: string;
  /** Requests that the relay says it sent there. */
  readonly requests: number;
}

interface Relayed {
  /** By connection. */
  readonly servers: readonly Forwarded[];
  /** The status that the client was refused with, or nothing. */
  readonly refusal: string;
}

function requestsOf({ servers }: Relayed): string {
  return servers.map(({ bytes }) => bytes).join("");
}

/** What becomes of `text`. */
async function relay(text: string, cuts: readonly number[]): Promise<Relayed> {
  const servers: (MemoryStream & { requests?: number })[] = [];
  let current: (MemoryStream & { requests?: number }) | undefined;
  const pool = new UpstreamPool({
    tcp: () => uncounted,
    idleMs: 60_000,
    maxIdle: 10,
    connect: async (owner) => {
      const server: MemoryStream & { requests?: number } = new MemoryStream();
      server.owner = owner;
      server.requests = 0;
      servers.push(server);
      current = server;
      server.onWrite = () => void setImmediate(() => server.receive("HTTP/1.1 204 No Content\r\n\r\n", []));
      return server;
    },
  });
  const destination: Destination = {
    http1: () => pool,
    http2: () => noHttp2,
    meshed: false,
    observed: { address: { ip: "127.0.0.1", port: 80 }, labels: [] },
    series: {
      request: () => {
        if (current !== undefined) current.requests = (current.requests ?? 0) + 1;
      },
      response: () => undefined,
    },
    started: () => undefined,
    answered: () => undefined,
    ended: () => undefined,
  };
  const service: HttpService = {
    audience: { meshed: false, informed: false },
    requestLines: Buffer.alloc(0),
    tcp: uncounted,
    observed: false,
    observe: () => undefined,
    choose: () => destination,
    again: () => destination,
    refused: () => undefined,
    closed: () => undefined,
  };
  const client = new MemoryStream();
  const downstream = new Downstream(client, service);
  await client.receive(text, cuts);
  for (let turns = 0; turns < 6; turns++) await new Promise(setImmediate);
  downstream.close();
  pool.close();
  return {
    servers: servers.map(({ written, requests }) => ({ bytes: written, requests: requests ?? 0 })),
    refusal: /HTTP\/1\.[01] ([45]\d\d)/.exec(client.written)?.[1] ?? "",
  };
}

/** How many requests node:http finds in `bytes`, whole or begun. */
function countByNode(bytes: string): Promise<number> {
  return new Promise((resolve) => {
    let requests = 0;
    const server = createServer((request: IncomingMessage, response) => {
      requests++;
      request.resume();
      request.on("end", () => response.end());
    });
    server.on("upgrade", () => {
      requests++;
    });
    server.on("connect", () => {
      requests++;
    });
    server.on("clientError", (_error, socket) => socket.destroy());
    const connection = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    connection.on("error", () => undefined);
    server.emit("connection", connection);
    connection.push(Buffer.from(bytes, "latin1"));
    setImmediate(() =>
      setImmediate(() =>
        setImmediate(() => {
          connection.destroy();
          resolve(requests);
        }),
      ),
    );
  });
}

/** @returns what is wrong with `text`, if anything */
export async function examine(text: string, random: (below: number) => number): Promise<string | undefined> {
  const cuts = Array.from({ length: random(4) }, () => random(text.length + 1));
  const cut = await relay(text, cuts);
  const whole = await relay(text, []);
  // What is refused within a body may have been begun, or not: as much as had come. All else is the same.
  const same = cut.refusal === whole.refusal && (whole.refusal !== "" || requestsOf(cut) === requestsOf(whole));
  if (!same) return `it depends on where it is cut: ${JSON.stringify({ text, cuts, cut, whole })}`;
  for (const { bytes, requests } of cut.servers) {
    const seen = await countByNode(bytes);
    if (seen > requests)
      return `the server saw ${seen} requests where ${requests} were sent: ${JSON.stringify({ text, cuts, bytes })}`;
  }
  return undefined;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { seconds: { type: "string", default: "60" }, seed: { type: "string", default: String(Date.now()) } },
  });
  const random = randomFrom(Number(values.seed));
  const until = Date.now() + Number(values.seconds) * 1_000;
  let count = 0;
  for (; Date.now() < until; count++) {
    const problem = await examine(mutate(random), random);
    if (problem === undefined) continue;
    console.error(`seed ${values.seed}, input ${count}: ${problem}`);
    process.exitCode = 1;
    break;
  }
  console.log(`seed ${values.seed}: ${count} inputs`);
}
