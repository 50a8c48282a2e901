/** Circuit breakers and penalties (reference 9.1, 9.3) as clients and servers see them, over HTTP/1 and HTTP/2. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type {
  Backend,
  Backend_BalanceP2c,
  FailureAccrual,
} from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { add, balancer } from "./support/messages.ts";
import {
  type Answering,
  type Handler,
  inOutboundWorld,
  type OutboundWorld,
  pathOf,
  VERSIONS,
  type Version,
} from "./support/outbound-world.ts";
import { backoff, duration, grpcPolicy, grpcRule, policy, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";

/** A server that the test makes ill and well again. */
class Patient {
  status = 200;
  asked = 0;
  headers: Readonly<Record<string, string>> = {};
  /** Every so many requests fail; 1: all of them. */
  every = 1;
  /** Milliseconds that an answer takes. */
  delay = 0;

  readonly handler: Handler = (_request, response: Answering) => {
    this.asked++;
    const ill = this.asked % this.every === 0;
    response.statusCode = ill ? this.status : 200;
    if (ill) for (const [name, value] of Object.entries(this.headers)) response.setHeader(name, value);
    if (this.delay === 0) response.end(String(response.statusCode));
    else setTimeout(() => response.end(String(response.statusCode)), this.delay);
  };
}

function consecutive(maxFailures: number, ms: number, minReady?: number): FailureAccrual {
  return {
    kind: { $case: "consecutiveFailures", value: { maxFailures, backoff: backoff(ms) } },
    ejection: minReady === undefined ? undefined : { minReadyEndpoints: minReady },
  };
}

interface Unified {
  readonly threshold?: number;
  readonly minRequests?: number;
  readonly maxConsecutive?: number;
  readonly ms: number;
  readonly hints?: boolean;
}

function unified({ threshold = 0.8, minRequests = 5, maxConsecutive = 0, ms, hints = false }: Unified): FailureAccrual {
  return {
    kind: {
      $case: "unified",
      value: {
        successRateThreshold: threshold,
        decay: duration(10_000),
        minRequests,
        maxConsecutiveFailures: maxConsecutive,
        backoff: { ...backoff(ms), respectRetryAfterHint: hints },
      },
    },
    ejection: undefined,
  };
}

/** Forgets within a moment how slow an endpoint was: the quicker of two is found again and again. */
function lively(): Backend {
  const value = { defaultRtt: duration(1), decay: duration(50) };
  return balanced({ $case: "peakEwma", value });
}

function penalized(ms: number): Backend {
  const value = { defaultRtt: duration(30), decay: duration(10_000), penalty: duration(ms) };
  return balanced({
    $case: "penaltyPeakEwma",
    value: { ...value, maxRetryAfter: undefined, penaltyDecay: undefined },
  });
}

function balanced(load: Backend_BalanceP2c["load"]): Backend {
  const path = pathOf("web");
  const value = { discovery: { kind: { $case: "dst" as const, value: { path } } }, load };
  return { ...balancer(path), kind: { $case: "balancer", value } };
}

/** The first is the quickest: it gets what it may get. */
async function patients(world: OutboundWorld, version: Version, count: number): Promise<Patient[]> {
  const all = Array.from({ length: count }, () => new Patient());
  for (const slower of all.slice(1)) slower.delay = 10;
  await world.serve(version, "web", ...all.map(({ handler }) => handler));
  return all;
}

async function askMany(world: OutboundWorld, version: Version, times: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let count = 0; count < times; count++) statuses.push((await world.ask(version, "/")).status);
  return statuses;
}

for (const version of VERSIONS) {
  describe(`circuits over ${version}`, () => {
    it("open after so many failures in a row: the others get everything, until a single request is answered well", () =>
      inOutboundWorld(async (world) => {
        const [ill, well] = (await patients(world, version, 2)) as [Patient, Patient];
        world.plane.policy(TARGET).first = [policy([route([rule(lively())])], consecutive(3, 800))];
        ill.status = 500;
        const statuses = await askMany(world, version, 20);
        assert.equal(statuses.filter((status) => status === 500).length, 3);
        assert.deepEqual([ill.asked, well.asked], [3, 17]);
        await sleep(820);
        // The one that decides: ill still, so that it is left alone for twice as long.
        await askMany(world, version, 20);
        assert.equal(ill.asked, 4);
        ill.status = 200;
        await sleep(820);
        await askMany(world, version, 10);
        assert.equal(ill.asked, 4, "its second pause is longer");
        await sleep(900);
        assert.ok((await askMany(world, version, 30)).every((status) => status === 200));
        assert.ok(ill.asked > 10, `${ill.asked} of 30: it has its share again`);
      }));

    it("do not open for failures that successes come between", () =>
      inOutboundWorld(async (world) => {
        const [only] = (await patients(world, version, 1)) as [Patient];
        world.plane.policy(TARGET).first = [policy([route([rule(lively())])], consecutive(3, 5_000))];
        Object.assign(only, { status: 500, every: 2 });
        assert.equal((await askMany(world, version, 20)).filter((status) => status === 500).length, 10);
      }));

    it("leave as many endpoints as the policy says", () =>
      inOutboundWorld(async (world) => {
        const all = await patients(world, version, 2);
        for (const each of all) each.status = 500;
        world.plane.policy(TARGET).first = [policy([route([rule(lively())])], consecutive(2, 60_000, 1))];
        const statuses = await askMany(world, version, 20);
        assert.ok(statuses.every((status) => status === 500));
        const asked = all.map((each) => each.asked).sort((a, b) => a - b);
        assert.equal(asked[0], 2);
      }));

    it("that are all open make a balancer wait, and then fail fast", () =>
      inOutboundWorld(async (world) => {
        const [only] = (await patients(world, version, 1)) as [Patient];
        only.status = 500;
        const impatient = { ...balancer(pathOf("web")), queue: { capacity: 100, failfastTimeout: duration(300) } };
        world.plane.policy(TARGET).first = [policy([route([rule(impatient)])], consecutive(1, 1_500))];
        assert.equal((await world.ask(version, "/")).status, 500);
        const waited = await world.ask(version, "/");
        assert.equal(waited.status, 504);
        assert.ok(waited.took >= 295 && waited.took < 800, `${waited.took} ms`);
        const fast = await world.ask(version, "/");
        assert.deepEqual([fast.status, fast.took < 200], [504, true]);
        only.status = 200;
        await sleep(1_300);
        assert.equal((await world.ask(version, "/")).status, 200);
      }));

    it("of the unified kind open for a low rate of successes, once there are enough requests", () =>
      inOutboundWorld(async (world) => {
        const [ill] = (await patients(world, version, 2)) as [Patient, Patient];
        world.plane.policy(TARGET).first = [
          policy([route([rule(lively())])], unified({ threshold: 0.7, minRequests: 10, ms: 60_000 })),
        ];
        Object.assign(ill, { status: 500, every: 2 });
        await askMany(world, version, 100);
        assert.equal(ill.asked, 10);
      }));

    it("of the unified kind take 429 for a failure of the rate, and not of those in a row", () =>
      inOutboundWorld(async (world) => {
        const [ill] = (await patients(world, version, 2)) as [Patient, Patient];
        world.plane.policy(TARGET).first = [
          policy(
            [route([rule(lively())])],
            unified({ threshold: 0.7, minRequests: 12, maxConsecutive: 3, ms: 60_000 }),
          ),
        ];
        ill.status = 429;
        await askMany(world, version, 100);
        assert.equal(ill.asked, 12);
      }));

    it("of the unified kind open for failures in a row, however few requests there were", () =>
      inOutboundWorld(async (world) => {
        const [ill] = (await patients(world, version, 2)) as [Patient, Patient];
        world.plane.policy(TARGET).first = [
          policy([route([rule(lively())])], unified({ minRequests: 1_000, maxConsecutive: 3, ms: 60_000 })),
        ];
        ill.status = 502;
        await askMany(world, version, 60);
        assert.equal(ill.asked, 3);
      }));

    it("of the unified kind leave an endpoint alone for as long as it asks for, where the policy says so", () =>
      inOutboundWorld(async (world) => {
        const [ill] = (await patients(world, version, 2)) as [Patient, Patient];
        const accrual = unified({ minRequests: 1_000, maxConsecutive: 1, ms: 50, hints: true });
        world.plane.policy(TARGET).first = [policy([route([rule(lively())])], accrual)];
        Object.assign(ill, { status: 503, headers: { "retry-after": "2" } });
        await askMany(world, version, 20);
        assert.equal(ill.asked, 1);
        ill.status = 200;
        await sleep(800);
        await askMany(world, version, 20);
        assert.equal(ill.asked, 1, "50 ms would have been over long since");
        await sleep(1_200);
        await askMany(world, version, 20);
        assert.ok(ill.asked > 1);
      }));

    for (const status of [429, 500, 503]) {
      it(`penalties keep requests from an endpoint that fails fast with ${status}`, () =>
        inOutboundWorld(async (world) => {
          const [ill, well] = (await patients(world, version, 2)) as [Patient, Patient];
          ill.status = status;
          world.plane.policy(TARGET).first = [policy([route([rule(penalized(5_000))])])];
          await askMany(world, version, 40);
          assert.ok(ill.asked <= 1 && well.asked >= 39, `${ill.asked} to the ill one`);
        }));
    }

    it("without penalties an endpoint that fails has its share of requests", () =>
      inOutboundWorld(async (world) => {
        const [ill] = (await patients(world, version, 2)) as [Patient, Patient];
        ill.status = 503;
        world.plane.policy(TARGET).first = [policy([route([rule(lively())])])];
        await askMany(world, version, 40);
        assert.ok(ill.asked > 4, `${ill.asked} to the ill one`);
      }));

    it("belong to an endpoint for as long as it is there", () =>
      inOutboundWorld(async (world) => {
        const ill = new Patient();
        const well = new Patient();
        well.delay = 10;
        const { endpoints } = await world.serve(version, "web", ill.handler, well.handler);
        world.plane.policy(TARGET).first = [policy([route([rule(lively())])], consecutive(2, 60_000))];
        ill.status = 500;
        await askMany(world, version, 30);
        assert.equal(ill.asked, 2);
        const [first] = endpoints;
        assert.ok(first);
        // News of another kind, of the same endpoint.
        world.plane.destination(pathOf("web")).push(add([{ ...first, labels: { zone: "b" } }]));
        await sleep(100);
        await askMany(world, version, 30);
        assert.equal(ill.asked, 2);
      }));
  });
}

describe("circuits of gRPC", () => {
  const call = { method: "POST", headers: { "content-type": "application/grpc", te: "trailers" }, body: "message" };
  const calls = (accrual: FailureAccrual | undefined, backend: Backend = lively()) =>
    grpcPolicy([grpcRule(backend)], accrual);
  /** Answers with this status in its head. */
  const refuses = (patient: Patient, code: number, more: Record<string, string> = {}): void => {
    patient.status = 200;
    patient.headers = { "content-type": "application/grpc", "grpc-status": String(code), ...more };
  };

  it("take RESOURCE_EXHAUSTED for a failure of the rate, and not of those in a row", () =>
    inOutboundWorld(async (world) => {
      const [ill, well] = (await patients(world, "HTTP/2", 2)) as [Patient, Patient];
      refuses(well, 0);
      refuses(ill, 8);
      world.plane.policy(TARGET).first = [calls(unified({ minRequests: 8, maxConsecutive: 3, ms: 60_000 }))];
      for (let count = 0; count < 60; count++) await world.ask("HTTP/2", "/a.B/C", call);
      assert.equal(ill.asked, 8);
    }));

  it("open for UNAVAILABLE in a row", () =>
    inOutboundWorld(async (world) => {
      const [ill, well] = (await patients(world, "HTTP/2", 2)) as [Patient, Patient];
      refuses(well, 0);
      refuses(ill, 14);
      world.plane.policy(TARGET).first = [calls(consecutive(3, 60_000))];
      for (let count = 0; count < 60; count++) await world.ask("HTTP/2", "/a.B/C", call);
      assert.equal(ill.asked, 3);
    }));

  for (const code of [8, 14]) {
    it(`penalties count status ${code} as a failure`, () =>
      inOutboundWorld(async (world) => {
        const [ill, well] = (await patients(world, "HTTP/2", 2)) as [Patient, Patient];
        refuses(well, 0);
        refuses(ill, code);
        world.plane.policy(TARGET).first = [calls(undefined, penalized(5_000))];
        for (let count = 0; count < 40; count++) await world.ask("HTTP/2", "/a.B/C", call);
        assert.ok(ill.asked <= 1, `${ill.asked} to the ill one`);
      }));
  }

  it("leave an endpoint alone for as long as its grpc-retry-pushback-ms asks for", () =>
    inOutboundWorld(async (world) => {
      const [ill, well] = (await patients(world, "HTTP/2", 2)) as [Patient, Patient];
      refuses(well, 0);
      refuses(ill, 14, { "grpc-retry-pushback-ms": "1500" });
      world.plane.policy(TARGET).first = [
        calls(unified({ minRequests: 1_000, maxConsecutive: 1, ms: 50, hints: true })),
      ];
      for (let count = 0; count < 10; count++) await world.ask("HTTP/2", "/a.B/C", call);
      await sleep(600);
      for (let count = 0; count < 10; count++) await world.ask("HTTP/2", "/a.B/C", call);
      assert.equal(ill.asked, 1);
      await sleep(1_000);
      for (let count = 0; count < 10; count++) await world.ask("HTTP/2", "/a.B/C", call);
      assert.equal(ill.asked, 2);
    }));
});
