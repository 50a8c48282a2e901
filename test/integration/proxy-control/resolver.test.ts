import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { Answer, Packet } from "dns-packet";
import { Replicas } from "../../../runtime/proxy/control/replicas.ts";
import { type Resolution, Resolver, type ResolverOptions } from "../../../runtime/proxy/control/resolver.ts";
import { DnsServer, type DnsServerOptions, headless } from "./support/dns-server.ts";

const NAME = "weft-policy.weft.svc.cluster.local";
const HOST = `${NAME}.`;
const folder = mkdtempSync(join(tmpdir(), "weft-resolver-"));
after(() => rmSync(folder, { recursive: true }));

interface World {
  readonly server: DnsServer;
  readonly records: Map<string, readonly Answer[]>;
  readonly told: string[];
  readonly resolver: Resolver;
  resolve(host?: string): Promise<Resolution>;
}

async function world(
  run: (world: World) => Promise<void>,
  options: Omit<DnsServerOptions, "records"> & { config?: string; hosts?: string; resolver?: ResolverOptions } = {},
): Promise<void> {
  const records = new Map<string, readonly Answer[]>();
  const server = await new DnsServer({ ...options, records }).start();
  const configFile = join(folder, "resolv.conf");
  const hostsFile = join(folder, "hosts");
  writeFileSync(configFile, options.config ?? "nameserver 127.0.0.1\n");
  writeFileSync(hostsFile, options.hosts ?? "127.0.0.1 localhost\n");
  const told: string[] = [];
  const resolver = new Resolver({
    configFile,
    hostsFile,
    serverPort: server.port,
    onResolved: (type, result) => told.push(`${type} ${result}`),
    ...options.resolver,
  });
  const resolve = (host = HOST): Promise<Resolution> => resolver.resolve(host, 8090, new AbortController().signal);
  try {
    await run({ server, records, told, resolver, resolve });
  } finally {
    server.close();
  }
}

const addresses = (...ips: string[]): { ip: string; port: number }[] => ips.map((ip) => ({ ip, port: 8090 }));

describe("a name of the control plane", () => {
  it("leads to the addresses that SRV records tell, with their life", () =>
    world(async ({ records, server, told, resolve }) => {
      records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.3", "10.1.2.4"), 30));
      assert.deepEqual(await resolve(), { addresses: addresses("10.1.2.3", "10.1.2.4"), ttlMs: 30_000 });
      assert.deepEqual(server.asked, [`SRV ${NAME}`]);
      assert.deepEqual(told, ["SRV ok"]);
    }));

  it("leads to our port alone, where a Service has several, and to what there is, where none is ours", () =>
    world(async ({ records, resolve }) => {
      const several = [
        { ip: "10.1.2.3", port: 8090 },
        { ip: "10.1.2.3", port: 9990 },
      ];
      records.set(`SRV ${NAME}`, headless(NAME, several));
      assert.deepEqual((await resolve()).addresses, addresses("10.1.2.3"));
      records.set(`SRV ${NAME}`, headless(NAME, [{ ip: "10.1.2.3", port: 9990 }]));
      assert.deepEqual((await resolve()).addresses, [{ ip: "10.1.2.3", port: 9990 }]);
    }));

  it("leads to A records where SRV names no addresses, as of a Service with one of its own, and to AAAA otherwise", () =>
    world(async ({ records, told, server, resolve }) => {
      const data = { target: NAME, port: 8090, priority: 0, weight: 100 };
      records.set(`SRV ${NAME}`, [{ type: "SRV", name: NAME, ttl: 5, data }]);
      records.set(`A ${NAME}`, [{ type: "A", name: NAME, ttl: 12, data: "10.96.0.7" }]);
      assert.deepEqual(await resolve(), { addresses: addresses("10.96.0.7"), ttlMs: 12_000 });
      assert.deepEqual(told, ["SRV not_found", "A/AAAA ok"]);
      records.delete(`A ${NAME}`);
      records.set(`AAAA ${NAME}`, [{ type: "AAAA", name: NAME, ttl: 5, data: "fd00::7" }]);
      assert.deepEqual((await resolve()).addresses, addresses("fd00:0:0:0:0:0:0:7"));
      assert.deepEqual(server.asked.slice(-3), [`SRV ${NAME}`, `A ${NAME}`, `AAAA ${NAME}`]);
    }));

  it("has a life within bounds, and never one below five seconds", async () => {
    const lives: [ttl: number, min: number | undefined, max: number | undefined, expected: number][] = [
      [0, undefined, undefined, 5_000],
      [30, undefined, 10_000, 10_000],
      [30, 60_000, undefined, 60_000],
      [30, undefined, 1_000, 5_000],
    ];
    for (const [ttl, minTtlMs, maxTtlMs, expected] of lives) {
      await world(
        async ({ records, resolve }) => {
          records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.3"), ttl));
          assert.equal((await resolve()).ttlMs, expected);
        },
        { resolver: { minTtlMs, maxTtlMs } },
      );
    }
  });

  it("is said not to exist, by name", () =>
    world(async ({ told, resolve }) => {
      await assert.rejects(resolve(), /DNS knows no weft-policy\.weft\.svc\.cluster\.local/);
      assert.deepEqual(told, ["SRV not_found", "A/AAAA not_found"]);
    }));

  it("is found by the search path where it has no final dot, in the order of ndots", () =>
    world(
      async ({ records, server, resolve }) => {
        records.set(`A ${NAME}`, [{ type: "A", name: NAME, ttl: 5, data: "10.96.0.7" }]);
        assert.deepEqual((await resolve("weft-policy.weft")).addresses, addresses("10.96.0.7"));
        assert.deepEqual(server.asked[0], "SRV weft-policy.weft.shop.svc.cluster.local");
        await resolve("a.weft.svc.cluster.local").catch(() => undefined);
        assert.ok(server.asked.includes("SRV a.weft.svc.cluster.local"));
      },
      { config: "search shop.svc.cluster.local svc.cluster.local\nnameserver 127.0.0.1\noptions ndots:5 timeout:2\n" },
    ));

  it("is read from the file of hosts before A records", () =>
    world(
      async ({ records, resolve }) => {
        records.set(`A ${NAME}`, [{ type: "A", name: NAME, ttl: 5, data: "10.96.0.7" }]);
        assert.deepEqual((await resolve()).addresses, addresses("10.9.9.9"));
      },
      { hosts: `# a remark\n10.9.9.9  x ${NAME} # more\n` },
    ));

  it("is asked for by TCP where the answer does not fit", () =>
    world(
      async ({ records, server, resolve }) => {
        const many = Array.from({ length: 60 }, (_, index) => `10.1.2.${index + 1}`);
        records.set(`SRV ${NAME}`, headless(NAME, addresses(...many)));
        assert.equal((await resolve()).addresses.length, 60);
        assert.equal(server.asked.length, 2);
      },
      { mangle: (answer) => ({ ...answer, flags: 0x380, answers: [] }) },
    ));

  it("is not told by somebody who answers another question", () =>
    world(
      async ({ records, server, resolver }) => {
        records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.3")));
        await assert.rejects(resolver.resolve(HOST, 8090, AbortSignal.timeout(1_500)), /aborted due to timeout/);
        assert.equal(server.asked.length, 2, "asked once more after a second");
      },
      { mangle: (answer: Packet) => ({ ...answer, id: ((answer.id ?? 0) + 1) % 65_536 }) },
    ));

  it("is asked of the next server where one is silent or unwell", () =>
    world(
      async ({ records, resolve }) => {
        records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.3")));
        assert.deepEqual((await resolve()).addresses, addresses("10.1.2.3"));
      },
      // Nobody listens at the first.
      { config: "nameserver 127.0.0.9\nnameserver 127.0.0.1\n" },
    ));
});

describe("the servers behind a name", () => {
  it("are asked for again when their life is over or when none is of use, and not before", () =>
    world(async ({ records, server, resolver }) => {
      const replicas = new Replicas({ host: HOST, port: 8090 }, resolver);
      const { signal } = new AbortController();
      records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.3")));
      await replicas.find(signal);
      await replicas.find(signal);
      assert.equal(server.asked.length, 1);
      records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.4")));
      replicas.forget();
      assert.deepEqual(await replicas.find(signal), addresses("10.1.2.4"));
      // What was known serves on where nobody knows better.
      records.clear();
      replicas.forget();
      assert.deepEqual(await replicas.find(signal), addresses("10.1.2.4"));
    }));

  it("are tried in any order, those that failed last", () =>
    world(async ({ records, resolver }) => {
      const replicas = new Replicas({ host: HOST, port: 8090 }, resolver);
      const { signal } = new AbortController();
      records.set(`SRV ${NAME}`, headless(NAME, addresses("10.1.2.3", "10.1.2.4", "10.1.2.5")));
      const firsts = new Set<string>();
      for (let count = 0; count < 100; count++) firsts.add((await replicas.find(signal))[0]?.ip ?? "");
      assert.equal(firsts.size, 3);
      replicas.failed({ ip: "10.1.2.4", port: 8090 });
      for (let count = 0; count < 20; count++) assert.equal((await replicas.find(signal))[2]?.ip, "10.1.2.4");
    }));

  it("are one where the address names it", async () => {
    const nobody = new Resolver({ configFile: "/nowhere", hostsFile: "/nowhere", serverPort: 9 });
    const { signal } = new AbortController();
    assert.deepEqual(await new Replicas({ host: "10.1.2.3", port: 1 }, nobody).find(signal), [
      { ip: "10.1.2.3", port: 1 },
    ]);
    assert.deepEqual(await new Replicas({ host: "localhost", port: 1 }, nobody).find(signal), [
      { ip: "127.0.0.1", port: 1 },
    ]);
  });
});
