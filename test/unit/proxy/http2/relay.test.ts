/** The HTTP/2 relay in memory: however bytes are cut, windows are sized and streams interleave, the same comes out, and is counted once. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Refusal } from "../../../../runtime/proxy/http/failure.ts";
import { NO_RULE, type RetryPolicy } from "../../../../runtime/proxy/http/route-rule.ts";
import { errorCode } from "../../../../runtime/wire/http2/protocol.ts";
import { type Behaviour, type Plan, type Played, World, type WorldOptions } from "./world.ts";

/** What is kept of a request for another try. */
const KEPT = 65_536;

const RETRY: RetryPolicy = {
  maxRetries: 3,
  maxRequestBytes: KEPT,
  backoffMs: () => 0,
  retriesOn: (status, grpcStatus) => status === 503 || grpcStatus === 14,
  grpc: true,
  deposit: () => undefined,
  withdraw: () => true,
};

const small = fc.integer({ min: 0, max: 30_000 });
const sizes = fc.oneof(fc.constant(0), fc.constant(1), small, fc.integer({ min: 0, max: 300_000 }));
const trailers = fc.option(fc.constant({ "x-sum": "1", "grpc-status": "0" }), { nil: undefined });

const whole: fc.Arbitrary<Behaviour> = fc.record(
  {
    kind: fc.constant("answer" as const),
    status: fc.constantFrom("200", "404", "500"),
    bytes: sizes,
    trailers,
    early: fc.boolean(),
    stops: fc.boolean(),
    interim: fc.boolean(),
  },
  { requiredKeys: ["kind", "status", "bytes"] },
) as fc.Arbitrary<Behaviour>;

const broken: fc.Arbitrary<Behaviour> = fc.record({
  kind: fc.constant("reset" as const),
  code: fc.constantFrom(errorCode.internalError, errorCode.cancel, errorCode.enhanceYourCalm),
  after: fc.oneof(fc.constant(-1), fc.constant(0), small),
});

const refused: Behaviour = { kind: "reset", code: errorCode.refusedStream, after: -1 };
const undelivered: Behaviour = { kind: "answer", status: "502", bytes: 0, fields: { "weft-not-delivered": "1" } };
const unavailable: Behaviour = { kind: "answer", status: "503", bytes: 10 };
const failedGrpc: Behaviour = { kind: "answer", status: "200", bytes: 0, trailers: { "grpc-status": "14" } };

const methods = fc.constantFrom("GET", "POST", "DELETE");

/** A request that is answered, or broken off, at its first try. */
const once: fc.Arbitrary<Plan> = fc.record(
  {
    method: methods,
    bytes: sizes,
    trailers,
    tries: fc.oneof({ weight: 4, arbitrary: whole }, { weight: 1, arbitrary: broken }).map((last) => [last]),
    cancelAfter: fc.integer({ min: 0, max: 40 }),
  },
  { requiredKeys: ["method", "bytes", "tries"] },
) as fc.Arbitrary<Plan>;

/** One that is sent more than once: its body is kept until an answer comes. */
const more = (failures: readonly Behaviour[], rule?: Plan["rule"]): fc.Arbitrary<Plan> =>
  fc.record(
    {
      method: methods,
      bytes: small,
      trailers,
      grpc: fc.boolean(),
      tries: fc
        .tuple(fc.array(fc.constantFrom(...failures), { maxLength: 3 }), whole)
        .map(([before, last]) => [...before, last]),
      ...(rule === undefined ? {} : { rule: fc.constant(rule) }),
    },
    { requiredKeys: ["method", "bytes", "tries", ...(rule === undefined ? [] : (["rule"] as const))] },
  ) as fc.Arbitrary<Plan>;

const refusals: fc.Arbitrary<Plan> = fc.record({
  method: methods,
  bytes: small,
  grpc: fc.boolean(),
  refusal: fc.constantFrom(new Refusal("unauthorized", "no"), new Refusal("no-route", "nowhere")),
  tries: fc.constant([]),
});

/** A HEAD, whose answer says the length of what it leaves out. */
const heads: fc.Arbitrary<Plan> = fc.constant({
  method: "HEAD",
  bytes: 0,
  tries: [{ kind: "answer", status: "200", bytes: 0, fields: { "content-length": "12345" } }],
});

function checkAnswer(plan: Plan, { client, servers }: Played, behaviour: Behaviour): void {
  if (behaviour.kind === "reset") assert.equal(client.reset?.code, behaviour.code);
  if (behaviour.kind !== "answer") return;
  assert.equal(client.head?.[":status"], behaviour.status);
  assert.equal(client.received, behaviour.bytes);
  assert.deepEqual(client.trailers, behaviour.trailers);
  assert.equal(client.whole, true, "the answer is cut short");
  assert.deepEqual(client.informational, behaviour.interim ? ["103"] : []);
  assert.equal(client.reset?.code ?? 0, 0);
  const server = servers.at(-1);
  assert.equal(server?.head["l5d-client-id"], "somebody");
  assert.equal(client.over, true, "the exchange does not end");
  if (behaviour.early === true && behaviour.stops === true) return;
  assert.equal(server?.talk.received, plan.bytes);
  assert.deepEqual(server?.talk.trailers, plan.trailers);
}

function check(plan: Plan, played: Played): void {
  const { client, cancelled, servers, counts } = played;
  const { observed, route } = counts;
  assert.deepEqual([observed.ended, observed.sent], [1, observed.left]);
  assert.equal(observed.sent, counts.requests);
  if (plan.rule !== undefined) assert.deepEqual([route.requests, route.responses.length], [1, 1]);
  if (cancelled) {
    assert.ok(counts.responses.length <= counts.requests);
    return;
  }
  assert.equal(counts.responses.length, counts.requests, JSON.stringify(counts));
  assert.equal(observed.response, client.head === undefined ? 0 : 1);
  if (plan.refusal !== undefined) {
    assert.equal(client.head?.[":status"], plan.grpc ? "200" : String(plan.refusal.status));
    if (plan.grpc) assert.match(client.head?.["grpc-status"] ?? "", /^(7|5)$/);
    assert.equal(client.over, true);
    assert.equal(servers.length, 0);
    return;
  }
  assert.equal(servers.length, plan.tries.length);
  checkAnswer(plan, played, plan.tries.at(-1) as Behaviour);
}

async function play(options: WorldOptions, judge = check): Promise<World> {
  const world = new World(options);
  const played = await world.play();
  for (const [index, each] of played.entries()) {
    try {
      judge(options.plans[index] as Plan, each);
    } catch (error) {
      throw new Error(`request ${index}: ${(error as Error).message}`, { cause: error });
    }
  }
  assert.equal(world.started, world.ended, "destinations that were started and not ended");
  return world;
}

const seeds = fc.nat(2 ** 31);
const several = (plan: fc.Arbitrary<Plan>, most = 8): fc.Arbitrary<Plan[]> =>
  fc.array(plan, { minLength: 1, maxLength: most });

/** @param runs how many worlds */
function holds(plans: fc.Arbitrary<Plan[]>, runs: number, options: Partial<WorldOptions> = {}): Promise<void> {
  return fc.assert(
    fc.asyncProperty(seeds, plans, async (seed, all) => {
      await play({ seed, plans: all, ...options });
    }),
    // Worlds of other plans are other worlds: what is smaller tells no more.
    { numRuns: runs, endOnFailure: true },
  );
}

describe("the HTTP/2 relay", () => {
  test("answers, early ones and broken ones, cancels: bodies and trailers arrive whole, and all is counted once", () =>
    holds(several(fc.oneof(once, heads, refusals)), 120));

  test("what was refused, or not passed on, is sent elsewhere with its body", () =>
    holds(several(more([refused, undelivered])), 60, { meshed: true }));

  test("retries send the same body once more; a gRPC status in trailers is seen first", () =>
    holds(several(more([refused, unavailable, failedGrpc], { ...NO_RULE, retry: RETRY })), 60));

  test("servers that go away, and take few requests at once, lose none", () =>
    holds(several(more([refused]), 12), 60, { restarts: true, maxConcurrentStreams: 3 }));

  test("connections to servers that break: an answer is whole, or said to be broken, and each request ends", () =>
    fc.assert(
      fc.asyncProperty(seeds, several(once), async (seed, plans) => {
        await play({ seed, plans, losses: true }, (plan, played) => {
          const { client, cancelled, counts } = played;
          assert.deepEqual([counts.observed.ended, counts.observed.sent], [1, counts.observed.left]);
          if (cancelled) return;
          assert.equal(counts.responses.length, counts.requests);
          if (client.reset !== undefined && client.reset.code !== 0) return;
          assert.equal(client.whole, true);
          const [behaviour] = plan.tries as [Behaviour];
          if (client.head?.[":status"] === "502" || (behaviour.kind === "answer" && behaviour.early)) return;
          checkAnswer(plan, played, behaviour);
        });
      }),
      { numRuns: 80, endOnFailure: true },
    ));

  test("a proxy that ends answers what it took, and says of the others that it did nothing", () =>
    fc.assert(
      fc.asyncProperty(seeds, several(fc.oneof(once, refusals)), fc.nat(200), async (seed, plans, drainsAfter) => {
        const world = await play({ seed, plans, drainsAfter }, (plan, played) => {
          const { client } = played;
          if (client.stream === undefined) return;
          if (client.reset?.unprocessed === true) assert.equal(played.servers.length, 0);
          else check(plan, played);
        });
        assert.equal(world.clientClosed, true);
      }),
      { numRuns: 80, endOnFailure: true },
    ));

  test("clients that do not read hold back their own answers, and nobody else's", async () => {
    const tries: Behaviour[] = [{ kind: "answer", status: "200", bytes: 200_000 }];
    const stuck: Plan = { method: "GET", bytes: 0, tries, neverReads: true };
    const plans = [...Array.from({ length: 40 }, () => stuck), { method: "GET", bytes: 0, tries }];
    const world = new World({ seed: 1, plans, window: 65_535 });
    const played = await world.play();
    assert.equal(world.connections, 1);
    assert.equal(played.at(-1)?.client.received, 200_000);
    assert.equal(played[0]?.client.received, 65_535);
  });

  describe("time-outs", () => {
    const slow: Behaviour = { kind: "answer", status: "200", bytes: 100, trailers: { a: "b" } };
    const answered = async (plan: Partial<Plan>, options: Partial<WorldOptions>, expected: object): Promise<void> => {
      const plans: Plan[] = [{ method: "POST", bytes: 9, tries: [slow], ...plan }];
      await play({ seed: 3, plans, ...options }, (_, { client, counts, servers }) => {
        const { route, observed } = counts;
        const found = {
          status: client.head?.[":status"] ?? String(client.reset?.code),
          tries: servers.length,
          responses: counts.responses,
          route: route.responses,
        };
        assert.deepEqual(found, expected);
        assert.deepEqual([route.requests, observed.ended, observed.sent], [1, 1, observed.left]);
      });
    };

    test("of a request whose connection is not made in time: nothing is sent any more", () =>
      answered(
        { rule: { ...NO_RULE, timeouts: { requestMs: 20 } } },
        { connectMs: 60 },
        {
          status: "504",
          tries: 0,
          responses: [],
          route: ["0  REQUEST_TIMEOUT"],
        },
      ));

    test("of a request that is not answered", () =>
      answered(
        { rule: { ...NO_RULE, timeouts: { requestMs: 30 } }, tries: [{ kind: "silence" }] },
        { connectMs: 1 },
        {
          status: "504",
          tries: 1,
          responses: ["504!"],
          route: ["0  REQUEST_TIMEOUT"],
        },
      ));

    test("of a try, which is made once more", () =>
      answered(
        { rule: { ...NO_RULE, retry: { ...RETRY, perTryMs: 30 } }, tries: [{ kind: "silence" }, slow] },
        { connectMs: 1 },
        { status: "200", tries: 2, responses: ["504!", "200"], route: ["200  "] },
      ));

    test("of an answer that does not end: the client's stream is reset", () =>
      answered(
        { rule: { ...NO_RULE, timeouts: { requestMs: 30 } }, tries: [{ kind: "stuck", after: 10 }] },
        { connectMs: 1 },
        { status: "200", tries: 1, responses: ["200!"], route: ["0  REQUEST_TIMEOUT"] },
      ));
  });

  test("a server that ends a request without a word, and with no error, makes a 502", async () => {
    const plans: Plan[] = [{ method: "GET", bytes: 0, tries: [{ kind: "reset", code: 0, after: -1 }] }];
    await play({ seed: 1, plans }, (_, { client, counts }) => {
      assert.equal(client.head?.[":status"], "502");
      assert.match(client.head["l5d-proxy-error"] ?? "", /ended the request before it answered/);
      assert.deepEqual(counts.responses, ["502!"]);
    });
  });

  test("the mark of a peer outside the mesh counts for nothing", async () => {
    await play({ seed: 1, plans: [{ method: "POST", bytes: 5, tries: [undelivered] }] });
  });
});
