/** Two choices, peak EWMA, back-off, queue and failfast (reference 9.1). */
import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { Balancer, type BalancerOptions, type Candidate } from "../../../../runtime/proxy/balance/balancer.ts";
import { PeakEwma } from "../../../../runtime/proxy/balance/peak-ewma.ts";
import type { Endpoint, EndpointSource } from "../../../../runtime/proxy/outbound/target.ts";

function endpoint(name: string, labels: Endpoint["labels"] = []): Endpoint {
  return { address: `${name}:80`, ip: name, port: 80, labels };
}

class Source implements EndpointSource {
  readonly state = "ready";
  readonly endpoints = new Map<string, Endpoint>();
  #listener: Parameters<EndpointSource["subscribe"]>[0] | undefined;

  constructor(...names: string[]) {
    for (const name of names) this.endpoints.set(`${name}:80`, endpoint(name));
  }

  subscribe(listener: Parameters<EndpointSource["subscribe"]>[0]): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }

  change(added: readonly Endpoint[], removed: readonly string[] = []): void {
    this.#listener?.({ added, removed });
  }

  get watched(): boolean {
    return this.#listener !== undefined;
  }
}

/** A small generator with a seed: the test gives the same every time. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return seed / 4_294_967_296;
  };
}

function balancer(
  source: Source,
  options: { queueCapacity?: number; failfastTimeoutMs?: number } = {},
  backoff?: BalancerOptions<unknown>["backoff"],
) {
  const closed: string[] = [];
  let now = 1_000;
  const made = new Balancer<{ name: string }>({
    source,
    parameters: { defaultRttMs: 30, decayMs: 10_000, queueCapacity: 100, failfastTimeoutMs: 3_000, ...options },
    open: ({ ip }) => ({ name: ip }),
    close: ({ name }) => closed.push(name),
    backoff,
    now: () => now,
    random: seeded(7),
  });
  const advance = (ms: number): void => {
    now += ms;
  };
  return { made, closed, advance };
}

const nameOf = (candidate: Candidate<{ name: string }> | undefined): string | undefined => candidate?.data.name;

describe("peak EWMA", () => {
  test("starts at the default, follows peaks at once and forgets them with its time constant", () => {
    const ewma = new PeakEwma(30, 10_000, 0);
    assert.equal(ewma.load(0), 30);
    ewma.observe(100, 0);
    assert.equal(ewma.load(0), 100);
    ewma.observe(10, 10_000);
    assert.ok(Math.abs(ewma.load(10_000) - (100 / Math.E + 10 * (1 - 1 / Math.E))) < 1e-9);
  });

  test("work under way weighs, and nothing is faster than a millisecond", () => {
    const ewma = new PeakEwma(0.1, 10_000, 0);
    ewma.outstanding = 3;
    assert.equal(ewma.load(0), 4);
  });

  test("what is left alone is forgotten to be slow, down to the floor", () => {
    const ewma = new PeakEwma(30, 10_000, 0);
    assert.ok(Math.abs(ewma.load(10_000) - 30 / Math.E) < 1e-9);
    assert.equal(ewma.load(1_000_000), 1);
    // Looking changes nothing.
    assert.equal(ewma.load(0), 30);
  });
});

describe("balancer", () => {
  test("the less loaded of two is picked: a slow endpoint gets little", () => {
    const { made } = balancer(new Source("a", "b", "c", "slow"));
    const counts: Record<string, number> = {};
    for (let turn = 0; turn < 4_000; turn++) {
      const candidate = made.pick() as Candidate<{ name: string }>;
      counts[candidate.data.name] = (counts[candidate.data.name] ?? 0) + 1;
      candidate.ewma.observe(candidate.data.name === "slow" ? 500 : 5, 1_000 + turn * 10);
    }
    assert.ok((counts["slow"] ?? 0) < 100, JSON.stringify(counts));
    for (const name of ["a", "b", "c"]) assert.ok((counts[name] ?? 0) > 1_000, JSON.stringify(counts));
    made.close();
  });

  test("a new endpoint beside a fast one gets work before long, though nobody has measured it yet", () => {
    const { made, advance } = balancer(new Source("known", "new"));
    let turns = 0;
    for (; turns < 600; turns++) {
      const candidate = made.pick() as Candidate<{ name: string }>;
      if (candidate.data.name === "new" && turns > 0) break;
      candidate.ewma.observe(2, turns * 100);
      advance(100);
    }
    assert.ok(turns > 1 && turns < 400, `after ${turns / 10} s`);
    made.close();
  });

  test("leaves an endpoint that cannot be reached alone for as long as it is told", () => {
    const source = new Source("a");
    const { made, advance } = balancer(source, {}, { minMs: 2_000, maxMs: 3_000, jitter: 0 });
    const only = source.endpoints.get("a:80") as Endpoint;
    for (const pause of [2_000, 3_000, 3_000]) {
      made.failed(only);
      advance(pause - 1);
      assert.equal(made.pick(), undefined);
      advance(1);
      assert.ok(made.pick() !== undefined);
    }
  });

  test("an endpoint that failed is left alone, for twice as long each time", () => {
    const { made, advance } = balancer(new Source("a"));
    const { endpoint: only } = made.pick() as Candidate<{ name: string }>;
    for (const wait of [100, 200, 400]) {
      made.failed(only);
      // Those who failed together count once.
      made.failed(only);
      advance(wait - 1);
      assert.equal(made.pick(), undefined, `after ${wait - 1} ms`);
      advance(wait * 0.1 + 2);
      assert.equal(nameOf(made.pick()), "a", `after ${wait * 1.1} ms`);
    }
    made.succeeded(only);
    made.failed(only);
    advance(111);
    assert.equal(nameOf(made.pick()), "a");
    made.close();
  });

  test("endpoints come, change and go", () => {
    const source = new Source("a");
    const { made, closed } = balancer(source);
    source.change([endpoint("b")], ["a:80"]);
    assert.equal(nameOf(made.pick()), "b");
    assert.deepEqual(closed, ["a"]);
    source.change([endpoint("b")]);
    assert.deepEqual(closed, ["a"], "nothing changed");
    source.change([endpoint("b", [["dst_pod", "new"]])]);
    assert.deepEqual(closed, ["a", "b"]);
    assert.equal(made.size, 1);
    made.close();
    assert.equal(source.watched, false);
  });

  test("who finds nobody waits for the next", async () => {
    const source = new Source();
    const { made } = balancer(source);
    const waiting = made.acquire();
    source.change([endpoint("late")]);
    const found = await waiting;
    assert.ok(typeof found !== "string" && found.data.name === "late");
    made.close();
  });

  test("who waits is served when the only one may be tried again", async () => {
    const { made, advance } = balancer(new Source("a"));
    made.failed((made.pick() as Candidate<{ name: string }>).endpoint);
    const waiting = made.acquire();
    advance(200);
    const found = await waiting;
    assert.ok(typeof found !== "string" && found.data.name === "a");
    made.close();
  });

  test("the queue has an end, waiting too, and then all fail at once until somebody comes", async (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const source = new Source();
    const { made } = balancer(source, { queueCapacity: 2 });
    const waiting = [made.acquire(), made.acquire()];
    assert.equal(await made.acquire(), "load-shed");
    context.mock.timers.tick(3_000);
    assert.deepEqual(await Promise.all(waiting), ["failfast", "failfast"]);
    assert.equal(await made.acquire(), "failfast");
    source.change([endpoint("a")]);
    const found = await made.acquire();
    assert.ok(typeof found !== "string");
    assert.equal(await made.acquire(3_000), "failfast", "it has waited before");
    made.close();
    mock.timers.reset();
  });

  test("closing wakes those who wait", async () => {
    const { made } = balancer(new Source());
    const waiting = made.acquire();
    made.close();
    assert.equal(await waiting, "failfast");
  });
});
