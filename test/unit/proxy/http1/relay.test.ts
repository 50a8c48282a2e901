/** The HTTP/1 relay over streams in memory: however the bytes are cut, the same comes out. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Refusal } from "../../../../runtime/proxy/http/failure.ts";
import { type HeadEdits, NO_RULE, type RouteRule } from "../../../../runtime/proxy/http/route-rule.ts";
import type { Destination, HttpService } from "../../../../runtime/proxy/http/service.ts";
import { Downstream } from "../../../../runtime/proxy/http1/downstream.ts";
import { UpstreamPool } from "../../../../runtime/proxy/http1/pool.ts";
import type { TcpSeries } from "../../../../runtime/proxy/metrics/series.ts";
import { MemoryStream } from "./memory-stream.ts";
import { noHttp2 } from "./no-http2.ts";

const uncounted: TcpSeries = {
  opened: () => undefined,
  closed: () => undefined,
  read: () => undefined,
  wrote: () => undefined,
};

interface Played {
  /** What each server connection got. */
  readonly requests: readonly string[];
  readonly response: string;
  readonly ended: boolean;
  readonly closed: string | undefined;
  readonly statuses: readonly string[];
}

/**
 * A client that sends `request` in pieces; servers that answer with `responses`, in pieces, once they have got `expected` of
 * the requests' bytes in all. Connections are made late, so that requests wait for them.
 */
async function play(options: {
  request: string;
  requestCuts: readonly number[];
  responses: readonly string[];
  responseCuts: readonly number[];
  /** Whether a server's turn has come, by what it got since its last answer. */
  whole: (request: string) => boolean;
  meshed?: boolean;
  endAfter?: boolean;
  /** Gets a line for everything that tap is told. */
  tapped?: string[];
  /** What whoever watches changes of the request's head. */
  edits?: HeadEdits;
  rule?: RouteRule;
}): Promise<Played> {
  const servers: MemoryStream[] = [];
  const seen: string[] = [];
  const statuses: string[] = [];
  let answered = 0;
  const work: Promise<void>[] = [];
  const pool = new UpstreamPool({
    tcp: () => uncounted,
    idleMs: 60_000,
    maxIdle: 10,
    connect: async (owner) => {
      await new Promise(setImmediate);
      const server = new MemoryStream();
      server.owner = owner;
      servers.push(server);
      let consumed = 0;
      server.onWrite = () => {
        const fresh = server.written.slice(consumed);
        if (!options.whole(fresh)) return;
        consumed = server.written.length;
        seen.push(fresh);
        const response = options.responses[answered++];
        if (response === undefined) return;
        work.push(
          new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
            await server.receive(response, options.responseCuts);
            if (options.endAfter) server.owner.onEnd();
          }),
        );
      };
      return server;
    },
  });
  const destination: Destination = {
    http1: () => pool,
    http2: () => noHttp2,
    meshed: options.meshed ?? false,
    observed: { address: { ip: "10.0.0.9", port: 80 }, labels: [] },
    series: {
      request: () => statuses.push("request"),
      response: (status, _ms, failure) => statuses.push(`${status}${failure ? "!" : ""}`),
    },
    started: () => undefined,
    answered: () => undefined,
    ended: () => undefined,
  };
  const service: HttpService = {
    audience: { meshed: false, informed: true },
    requestLines: Buffer.from("l5d-client-id: somebody\r\n"),
    tcp: uncounted,
    observed: options.tapped !== undefined,
    choose: (_request, routing) => {
      routing.rule = options.rule;
      return destination;
    },
    again: () => destination,
    refused: (refusal) => statuses.push(refusal.cause),
    observe: (head) => {
      const { method, authority, path, query } = head;
      const names = head
        .headers()
        .map(([name, value]) => `${name}=${value}`)
        .join(" ");
      options.tapped?.push(`${method} ${authority} ${path}?${query} ${names}`);
      return {
        edits: options.edits,
        sent: ({ address }) => options.tapped?.push(`to ${address.ip}`),
        response: (status, answerHeaders) =>
          options.tapped?.push(
            `${status} ${answerHeaders()
              .map(([name]) => name)
              .join(" ")}`,
          ),
        left: ({ responseBytes, reset }) => options.tapped?.push(`${responseBytes} bytes, reset ${reset ?? "none"}`),
        ended: (status) => options.tapped?.push(`ended ${status}`),
      };
    },
    closed: () => undefined,
  };
  const client = new MemoryStream();
  const downstream = new Downstream(client, service);
  await client.receive(options.request, options.requestCuts);
  for (let turns = 0; turns < 6; turns++) {
    await new Promise(setImmediate);
    await Promise.all(work);
  }
  const result = {
    requests: seen,
    response: client.written.replace(/date: .*?\r\n/g, ""),
    ended: client.ended,
    closed: client.closed,
    statuses,
  };
  downstream.close();
  pool.close();
  return result;
}

const cuts = fc.array(fc.nat(900), { maxLength: 12 });
const everyByte = Array.from({ length: 2_000 }, (_, index) => index);

describe("the HTTP/1 relay", () => {
  const chunked = "5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\ntrailer: x\r\n\r\n";
  const cases = {
    "a request without a body": {
      request: "GET /a HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\naccept: */*\r\n\r\n",
      forwarded: ["GET /a HTTP/1.1\r\nhost: a\r\naccept: */*\r\nl5d-client-id: somebody\r\n\r\n"],
      responses: ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\nkeep-alive: timeout=5\r\n\r\nbody"],
      response: "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
      statuses: ["request", "200"],
    },
    "a length each way": {
      request: "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nhello\nworld",
      forwarded: ["POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\nl5d-client-id: somebody\r\n\r\nhello\nworld"],
      responses: ["HTTP/1.1 503 No\r\ncontent-length: 6\r\n\r\nsorry\n"],
      response: "HTTP/1.1 503 No\r\ncontent-length: 6\r\n\r\nsorry\n",
      statuses: ["request", "503!"],
    },
    "chunks each way, after an interim answer": {
      request: `POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
      forwarded: [
        `POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nl5d-client-id: somebody\r\n\r\n${chunked}`,
      ],
      responses: [`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`],
      response: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
      statuses: ["request", "200"],
    },
    "two requests in line, the second of which closes": {
      request: "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
      forwarded: [
        "GET /1 HTTP/1.1\r\nhost: a\r\nl5d-client-id: somebody\r\n\r\n",
        "GET /2 HTTP/1.1\r\nhost: a\r\nl5d-client-id: somebody\r\n\r\n",
      ],
      responses: ["HTTP/1.1 204 None\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2"],
      response: "HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n2",
      statuses: ["request", "204", "request", "200"],
      ended: true,
    },
    "headers that Connection names are cut out": {
      request: "GET / HTTP/1.1\r\nhost: a\r\nx-hop: 1\r\nconnection: x-hop, close\r\nx-end: 2\r\nte: gzip\r\n\r\n",
      forwarded: ["GET / HTTP/1.1\r\nhost: a\r\nx-end: 2\r\nl5d-client-id: somebody\r\n\r\n"],
      responses: [
        "HTTP/1.1 200 OK\r\nx-hop: 1\r\nconnection: x-hop\r\ncontent-length: 0\r\nl5d-proxy-error: no\r\n\r\n",
      ],
      response: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
      statuses: ["request", "200"],
      ended: true,
    },
  } as const;

  for (const [name, expected] of Object.entries(cases)) {
    test(`${name}: any cut gives the same`, async () => {
      const whole = (request: string): boolean => expected.forwarded.some((text) => text === request);
      const check = async (requestCuts: readonly number[], responseCuts: readonly number[]): Promise<void> => {
        const played = await play({ ...expected, requestCuts, responseCuts, whole });
        assert.deepEqual(played.requests, expected.forwarded);
        assert.equal(played.response, expected.response);
        assert.deepEqual(played.statuses, expected.statuses);
        assert.equal(played.ended, "ended" in expected);
      };
      await check([], []);
      await check(everyByte, everyByte);
      await fc.assert(fc.asyncProperty(cuts, cuts, check), { numRuns: 60 });
    });
  }

  test("a body that ends with its connection: any cut gives the same, and the client's ends too", async () => {
    await fc.assert(
      fc.asyncProperty(cuts, async (responseCuts) => {
        const played = await play({
          request: "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
          requestCuts: [],
          responses: ["HTTP/1.1 200 OK\r\n\r\nall of it"],
          responseCuts,
          whole: (text) => text.endsWith("\r\n\r\n"),
          endAfter: true,
        });
        assert.equal(played.response, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it");
        assert.equal(played.ended, true);
      }),
      { numRuns: 40 },
    );
  });

  test("what a meshed peer did not pass on is sent again, the same bytes, any method", async () => {
    const request = "POST /pay HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nmoney";
    await fc.assert(
      fc.asyncProperty(cuts, cuts, async (requestCuts, responseCuts) => {
        const played = await play({
          request,
          requestCuts,
          responses: [
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nweft-not-delivered: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
          ],
          responseCuts,
          whole: (text) => text.endsWith("money"),
          meshed: true,
        });
        assert.equal(played.requests.length, 2);
        assert.equal(played.requests[0], played.requests[1]);
        assert.equal(played.response, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      }),
      { numRuns: 60 },
    );
  });

  test("the mark of a peer outside the mesh counts for nothing, even where the request is kept for retries", async () => {
    const retry = {
      maxRetries: 1,
      maxRequestBytes: 65_536,
      grpc: false,
      backoffMs: () => 0,
      retriesOn: () => false,
      deposit: () => undefined,
      withdraw: () => true,
    };
    for (const rule of [NO_RULE, { ...NO_RULE, retry }]) {
      const played = await play({
        request: "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        requestCuts: [],
        responses: ["HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nweft-not-delivered: 1\r\n\r\n"],
        responseCuts: [],
        whole: (text) => text.endsWith("\r\n\r\n"),
        rule,
      });
      assert.equal(played.requests.length, 1);
      assert.equal(played.response, "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    }
  });

  test("a server that is cut off in its body resets the client", async () => {
    const played = await play({
      request: "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
      requestCuts: [],
      responses: ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"],
      responseCuts: [],
      whole: (text) => text.endsWith("\r\n\r\n"),
      endAfter: true,
    });
    assert.equal(played.closed, "reset");
    assert.deepEqual(played.statuses, ["request", "200!"]);
  });

  test("who watches is told of the head, the answer and its end, whole or broken", async () => {
    const request = "POST /a?b=c HTTP/1.1\r\nHost: web\r\nX-Y:  z \r\ncontent-length: 2\r\n\r\nhi";
    const head = "POST web /a?b=c host=web x-y=z content-length=2";
    for (const [response, expected] of [
      [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        [head, "to 10.0.0.9", "200 content-length", "4 bytes, reset none", "ended 200"],
      ],
      [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody",
        [head, "to 10.0.0.9", "200 content-length", "4 bytes, reset 2", "ended 200"],
      ],
      ["", [head, "to 10.0.0.9", "0 bytes, reset 2", "502 content-length", "ended 502"]],
    ] as const) {
      for (const cuts of [[], everyByte]) {
        const tapped: string[] = [];
        const whole = (text: string): boolean => text.endsWith("hi");
        await play({
          request,
          requestCuts: cuts,
          responses: [response],
          responseCuts: cuts,
          whole,
          endAfter: true,
          tapped,
        });
        assert.deepEqual(tapped, expected);
      }
    }
  });

  test("who watches may change the head that is sent on, and no one else's", async () => {
    const request = "POST /a HTTP/1.1\r\nHost: web\r\nX-Y: z\r\ncontent-length: 2\r\n\r\nhi";
    const whole = (text: string): boolean => text.endsWith("hi");
    const responses = ["HTTP/1.1 204 No Content\r\n\r\n"];
    for (const requestCuts of [[], everyByte]) {
      const played = await play({
        request,
        requestCuts,
        responses,
        responseCuts: [],
        whole,
        tapped: [],
        edits: { remove: [], set: [["x-y", "other"]], add: [] },
      });
      assert.match(played.requests[0] ?? "", /^POST \/a HTTP\/1.1\r\nhost: web\r\n/i);
      assert.match(played.requests[0] ?? "", /\r\nx-y: other\r\n/);
      assert.doesNotMatch(played.requests[0] ?? "", /x-y: z/i);
      assert.match(played.requests[0] ?? "", /\r\nl5d-client-id: somebody\r\n/);
      assert.match(played.requests[0] ?? "", /\r\n\r\nhi$/);
      assert.match(played.response, /^HTTP\/1.1 204 /);
    }
    const upgrading = await play({
      request: "GET /a HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      requestCuts: [],
      responses: ["HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"],
      responseCuts: [],
      whole: (text) => text.endsWith("\r\n\r\n"),
      tapped: [],
      edits: { remove: [], set: [["x-y", "other"]], add: [] },
    });
    assert.match(upgrading.requests[0] ?? "", /\r\nconnection: upgrade\r\n/i);
    assert.match(upgrading.requests[0] ?? "", /\r\nupgrade: websocket\r\n/i);
  });

  test("a refusal tells its reason and is printable", () => {
    assert.equal(new Refusal("failfast", "x").status, 504);
  });
});
