/** HTTP/1 carried over HTTP/2 between two proxies is the message that it is when it is relayed as it came. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { nobody } from "../../../../runtime/proxy/transport/stream.ts";
import { atRest, type PairedStream } from "../transport/stream-pair.ts";
import { type Application, TwoProxies } from "./carried.ts";

/** A message without what HTTP/2 does not carry: case of names, reason phrases, sizes of chunks. */
interface Message {
  readonly start: string;
  readonly lines: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** Its end came. */
  readonly whole: boolean;
}

function readLines(text: string): string[] {
  return text
    .split("\r\n")
    .filter((line) => line !== "")
    .map((line) => {
      const colon = line.indexOf(":");
      return `${line.slice(0, colon).toLowerCase()}: ${line.slice(colon + 1).trim()}`;
    });
}

/** Reads messages one after the other; of responses, those to `methods`. */
function readMessages(text: string, methods: readonly string[] | undefined, ended: boolean): Message[] {
  const messages: Message[] = [];
  let answered = 0;
  while (text !== "") {
    const headEnd = text.indexOf("\r\n\r\n");
    if (headEnd < 0) return [...messages, { start: text, lines: [], body: "", trailers: [], whole: false }];
    const lineEnd = text.indexOf("\r\n");
    const start = text.slice(0, lineEnd);
    const lines = readLines(text.slice(lineEnd, headEnd)).filter((line) => !line.startsWith("date:"));
    text = text.slice(headEnd + 4);
    const status = methods === undefined ? undefined : Number(start.split(" ")[1]);
    const line = status === undefined ? start : start.split(" ").slice(0, 2).join(" ");
    const interim = status !== undefined && status < 200;
    const method = interim ? undefined : methods?.[answered++];
    const length = lines.find((field) => field.startsWith("content-length: "))?.slice(16);
    const bodiless = interim || status === 204 || status === 304 || method === "HEAD";
    if (bodiless || (status === undefined && length === undefined && !lines.includes("transfer-encoding: chunked"))) {
      messages.push({ start: line, lines, body: "", trailers: [], whole: true });
    } else if (lines.includes("transfer-encoding: chunked")) {
      let body = "";
      let trailers: string[] = [];
      let whole = false;
      for (;;) {
        const sizeEnd = text.indexOf("\r\n");
        if (sizeEnd < 0) break;
        const size = Number.parseInt(text, 16);
        text = text.slice(sizeEnd + 2);
        if (size === 0) {
          const end = text.startsWith("\r\n") ? 0 : text.indexOf("\r\n\r\n") + 2;
          trailers = readLines(text.slice(0, end));
          whole = end >= 0 && text !== "";
          text = text.slice(end + 2);
          break;
        }
        body += text.slice(0, size);
        text = text.slice(size + 2);
      }
      messages.push({ start: line, lines, body, trailers, whole });
      if (!whole) return messages;
    } else {
      const known = length !== undefined;
      const size = known ? Number(length) : text.length;
      const body = text.slice(0, size);
      messages.push({ start: line, lines, body, trailers: [], whole: known ? body.length === size : ended });
      text = text.slice(size);
    }
  }
  return messages;
}

interface Scene {
  readonly requests: readonly string[];
  readonly methods: readonly string[];
  readonly responses: readonly string[];
  /** What the application does after its last answer. */
  readonly after: "stay" | "end" | "reset";
  readonly sizes: readonly number[];
}

interface Outcome {
  readonly requests: readonly Message[];
  readonly responses: readonly Message[];
  readonly ended: boolean;
  readonly broken: boolean;
}

async function play(way: "straight" | "carried", scene: Scene): Promise<Outcome> {
  let piece = 0;
  const sizes = (): number => scene.sizes[piece++ % scene.sizes.length] ?? 65_536;
  let answered = 0;
  const application: Application = {
    serve: (stream: PairedStream) => ({
      ...nobody,
      onData: () => {
        const here = readMessages(stream.received, undefined, false).filter(({ whole }) => whole).length;
        const before = proxies.applications.filter((other) => other !== stream);
        const others = before.flatMap((other) => readMessages(other.received, undefined, false)).length;
        while (answered < here + others && answered < scene.responses.length) {
          stream.say(scene.responses[answered++] ?? "");
          if (answered < scene.responses.length || scene.after === "stay") continue;
          if (scene.after === "end") stream.end();
          else setImmediate(() => setImmediate(() => stream.reset()));
        }
      },
    }),
  };
  const proxies = new TwoProxies(way, application, sizes);
  const { client } = proxies;
  let ended = false;
  client.owner = {
    ...nobody,
    onEnd: () => {
      ended = true;
    },
  };
  client.say(scene.requests.join(""));
  await atRest();
  const outcome = {
    requests: proxies.applications.flatMap(({ received }) => readMessages(received, undefined, false)),
    responses: readMessages(client.received, scene.methods, ended),
    ended,
    broken: client.closed === "lost" && !ended,
  };
  await proxies.close();
  return outcome;
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(65_536)), { minLength: 1, maxLength: 12 });
const name = fc.constantFrom("accept", "X-One", "x-two", "Cookie", "authorization", "X-Two", "user-agent", "x-empty");
const value = fc.oneof(
  fc.constantFrom("a", "", "gzip, deflate", "  spaced  ", "tab\tinside", "caf\xe9", "y".repeat(300)),
  fc.string({ unit: fc.constantFrom(...'abcXYZ019 ,;="/'), maxLength: 30 }),
);
const lines = fc.array(
  fc.tuple(name, value).map(([of, is]) => `${of}:${is}\r\n`),
  { maxLength: 6 },
);
const bodyBytes = fc.string({ unit: fc.constantFrom(..."ab\r\n\x00\xff:"), maxLength: 60 });
const trailerLines = fc.constantFrom("", "X-Sum: 1\r\n", "x-sum:1\r\nx-sum:  2 \r\n", "not a field\r\nx-ok: 1\r\n");

const chunkedBody = fc
  .tuple(fc.array(bodyBytes, { maxLength: 4 }), trailerLines, fc.constantFrom("", ";ext=1"))
  .map(([pieces, trailers, extension]) => {
    const chunks = pieces
      .filter((piece) => piece !== "")
      .map((piece) => `${piece.length.toString(16)}${extension}\r\n${piece}\r\n`);
    return `${chunks.join("")}0\r\n${trailers}\r\n`;
  });

/** Lines that say how it ends, and the body. */
const framed = fc.oneof(
  bodyBytes.map((body) => ({ line: `Content-Length: ${body.length}\r\n`, body })),
  chunkedBody.map((body) => ({ line: "Transfer-Encoding: chunked\r\n", body })),
);

const request = fc
  .record({
    method: fc.constantFrom("GET", "POST", "HEAD", "DELETE", "OPTIONS", "REPORT"),
    target: fc.constantFrom(
      "/",
      "/a/b?c=d&e",
      "/%20x;y",
      "http://web.test/abs?q",
      "HTTP://web.test",
      "*",
      "/a",
      "/caf\xe9",
    ),
    before: lines,
    after: lines,
    host: fc.constantFrom("web", "Web:80", "", "other.test", "[::1]:80"),
    frame: fc.oneof(fc.constant(undefined), framed),
  })
  .map(({ method, target, before, after, host, frame }) => {
    const to = target === "*" && method !== "OPTIONS" ? "/star" : target;
    const head = `${method} ${to} HTTP/1.1\r\n${before.join("")}Host: ${host}\r\n${frame?.line ?? ""}${after.join("")}\r\n`;
    return { method, text: head + (frame?.body ?? "") };
  });

const response = fc
  .record({
    interim: fc.constantFrom("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
    status: fc.constantFrom(200, 201, 204, 304, 404, 500),
    before: lines,
    after: lines,
    frame: framed,
    old: fc.boolean(),
  })
  .map(({ interim, status, before, after, frame, old }) => ({ interim, status, before, after, frame, old }));

type ResponseParts = typeof response extends fc.Arbitrary<infer Parts> ? Parts : never;

function respond(method: string, { interim, status, before, after, frame, old }: ResponseParts): string {
  const bodiless = status === 204 || status === 304 || method === "HEAD";
  const chunked = frame.line.startsWith("Transfer");
  const version = old && !chunked ? "HTTP/1.0" : "HTTP/1.1";
  // Of a body that is not there HTTP/2 can say the length, not that it would be chunked.
  const line = status === 204 || (bodiless && chunked) ? "" : frame.line;
  return `${interim}${version} ${status} Some Reason\r\n${before.join("")}${line}${after.join("")}\r\n${bodiless ? "" : frame.body}`;
}

/** Targets in absolute form: the scheme's case is nobody's, a path is always there, and another Host gives way (RFC 9112, 3.2.2). */
function sameTarget({ lines, ...message }: Message): Message {
  const start = message.start.replace(/ HTTP:\/\/web\.test/, " http://web.test");
  return {
    ...message,
    lines: lines.map((line) => (/ http:/.test(start) && line.startsWith("host:") ? "host: web.test" : line)),
    start: start.startsWith("OPTIONS ") ? start : start.replace(/ http:\/\/web\.test /, " http://web.test/ "),
  };
}

function sameOutcome(carried: Outcome, straight: Outcome): void {
  const requests = (outcome: Outcome): Message[] =>
    outcome.requests.map(sameTarget).map((message) => ({
      ...message,
      trailers: message.trailers.filter((line) => !line.startsWith("not a fiel")),
      // What a proxy adds beside the length stands at another place.
      lines: [
        ...message.lines.filter((line) => line !== "transfer-encoding: chunked"),
        ...message.lines.filter((line) => line === "transfer-encoding: chunked"),
      ],
    }));
  const responses = (outcome: Outcome): Message[] =>
    outcome.responses.map((message) => ({
      ...message,
      trailers: message.trailers.filter((line) => !line.startsWith("not a fiel")),
      lines: [
        ...message.lines.filter((line) => line !== "transfer-encoding: chunked"),
        ...message.lines.filter((line) => line === "transfer-encoding: chunked"),
      ],
    }));
  assert.deepEqual(requests(carried), requests(straight));
  assert.deepEqual(responses(carried), responses(straight));
  assert.equal(carried.ended, straight.ended);
  assert.equal(carried.broken, straight.broken);
}

describe("HTTP/1 carried over HTTP/2 between proxies", () => {
  test("requests and responses are the same as relayed straight, whatever the cuts", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(request, response), { minLength: 1, maxLength: 3 }),
        sizes,
        async (pairs, cut) => {
          const scene: Scene = {
            requests: pairs.map(([{ text }]) => text),
            methods: pairs.map(([{ method }]) => method),
            responses: pairs.map(([{ method }, parts]) => respond(method, parts)),
            after: "stay",
            sizes: cut,
          };
          sameOutcome(await play("carried", scene), await play("straight", scene));
        },
      ),
      { numRuns: 150 },
    );
  });

  const get = "GET /a HTTP/1.1\r\nhost: web\r\n\r\n";
  const oldGet = "GET /a HTTP/1.0\r\nhost: web\r\n\r\n";
  const scenes: Readonly<Record<string, Partial<Scene>>> = {
    "a body that ends with its connection": { responses: ["HTTP/1.1 200 OK\r\n\r\nall of it"], after: "end" },
    "the same of an HTTP/1.0 server": { responses: ["HTTP/1.0 200 OK\r\nx: y\r\n\r\nall of it"], after: "end" },
    "the same to an HTTP/1.0 client": {
      requests: [oldGet],
      responses: ["HTTP/1.0 200 OK\r\n\r\nall of it"],
      after: "end",
    },
    "an HTTP/1.0 client without Host": {
      requests: ["GET /a HTTP/1.0\r\nx: y\r\n\r\n"],
      responses: ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"],
    },
    "an HTTP/1.0 client, an absolute target": {
      requests: ["GET http://web/a HTTP/1.0\r\n\r\n"],
      responses: ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"],
    },
    "a body cut off that has no end of its own": { responses: ["HTTP/1.1 200 OK\r\n\r\nnot all"], after: "reset" },
    "the same to an HTTP/1.0 client, cut off": {
      requests: [oldGet],
      responses: ["HTTP/1.1 200 OK\r\n\r\nnot all"],
      after: "reset",
    },
    "a body shorter than its length": {
      responses: ["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nnot all"],
      after: "end",
    },
    "chunks cut off": {
      responses: ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\nnot all\r\n"],
      after: "end",
    },
    "no answer at all": { responses: [""], after: "end" },
    "an answer that is none": { responses: ["nonsense\r\n\r\n"] },
    "a switch of protocols that nobody asked for": {
      responses: ["HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
    },
    "an answer with a length that ends its connection": {
      responses: [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
      ],
      requests: [get, get],
      methods: ["GET", "GET"],
    },
    "a larger body each way": {
      requests: [`POST /a HTTP/1.1\r\nhost: web\r\ncontent-length: 300000\r\n\r\n${"x".repeat(300_000)}`],
      responses: [`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n493e0\r\n${"y".repeat(300_000)}\r\n0\r\n\r\n`],
      methods: ["POST"],
      sizes: [65_536],
    },
    "an answer before the request is whole": {
      requests: ["POST /a HTTP/1.1\r\nhost: web\r\ncontent-length: 10\r\n\r\nhal"],
      responses: [],
      methods: ["POST"],
    },
    "lines of the mesh's own, from an application": {
      requests: ["GET / HTTP/1.1\r\nhost: web\r\nl5d-client-id: liar\r\n\r\n"],
      responses: ["HTTP/1.1 200 OK\r\nl5d-proxy-error: liar\r\ncontent-length: 0\r\n\r\n"],
    },
    "an upgrade that is offered": { responses: ["HTTP/1.1 426 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"] },
  };
  for (const [what, scene] of Object.entries(scenes)) {
    test(what, async () => {
      const cuts = scene.sizes === undefined ? [[1], [7], [65_536]] : [scene.sizes];
      for (const cut of cuts) {
        const whole: Scene = { requests: [get], methods: ["GET"], responses: [], after: "stay", ...scene, sizes: cut };
        const straight = await play("straight", whole);
        const carried = await play("carried", whole);
        sameOutcome(carried, straight);
      }
    });
  }

  test("a crowd that leaves at once takes nobody else's answer away, and its own connections to the application", async (t) => {
    const CROWD = 1_000;
    const application: Application = {
      serve: (stream) => ({
        ...nobody,
        onData: () => {
          if (stream.received.includes("/patient")) return;
          if (stream.received.includes("/quick")) stream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        },
      }),
    };
    const proxies = new TwoProxies("carried", application, () => 65_536);
    t.after(() => proxies.close());
    proxies.client.say("GET /patient HTTP/1.1\r\nhost: web\r\n\r\n");
    await atRest();
    const crowd = Array.from({ length: CROWD }, () => proxies.connect());
    for (const client of crowd) client.say("GET /never HTTP/1.1\r\nhost: web\r\n\r\n");
    await atRest();
    assert.equal(proxies.applications.length, 1 + CROWD);
    for (const client of crowd) client.close();
    await atRest();
    assert.equal(proxies.applications.filter(({ closed }) => closed !== undefined).length, CROWD);
    const quick = proxies.connect();
    quick.say("GET /quick HTTP/1.1\r\nhost: web\r\n\r\n");
    await atRest();
    assert.match(quick.received, /ok$/);
    proxies.applications[0]?.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
    await atRest();
    assert.match(proxies.client.received, /late$/);
    assert.equal(proxies.between, 1);
  });

  test("what the peer could not pass on is to go elsewhere, as when it is relayed straight", async () => {
    for (const way of ["straight", "carried"] as const) {
      for (const request of [get, "POST /a HTTP/1.1\r\nhost: web\r\ncontent-length: 4\r\n\r\nbody"]) {
        const proxies = new TwoProxies(way, { serve: () => nobody, gone: true }, () => 65_536);
        proxies.client.say(request);
        await atRest();
        assert.deepEqual(proxies.elsewhere, ["the peer could not pass the request on to its application"], way);
        assert.match(proxies.client.received, /^HTTP\/1\.1 502 /);
        await proxies.close();
      }
    }
  });
});
