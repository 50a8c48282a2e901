/** Proxies that are told to end (SIGTERM) under the load of h2load and grpc-go, which connect again: no request fails. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildGo } from "./support/go-programs.ts";
import { identityOf, type SidecarPorts, Sidecars } from "./support/sidecars.ts";

const HTTP1 = { port: 8080, address: "10.99.0.1:80" } as const;
const HTTP2 = { port: 8081, address: "10.99.0.2:80" } as const;
const GRPC = { port: 8082, address: "10.99.0.3:80" } as const;
const APPLICATIONS = [HTTP1.port, HTTP2.port, GRPC.port];
/** Of a second proxy in the client's pod. */
const OTHER_PORTS: SidecarPorts = { inbound: 5143, outbound: 5140, admin: 5191, tap: 5190 };
const LOAD_S = 3;
const ENDS_WITHIN_MS = 10_000;
const LARGE_BYTES = 300_000;

describe("SIGTERM under load", () => {
  const sidecars = new Sidecars();
  const servers = { one: sidecars.pods.add(), two: sidecars.pods.add() } as const;
  const client = sidecars.pods.add();
  const proxies = new Map<string, ChildProcess>();
  let grpcClient = "";

  before(async () => {
    grpcClient = buildGo("./grpc-client");
    const grpcServer = buildGo("./grpc-server");
    const endpoints = (port: number) =>
      Object.entries(servers).map(([name, { ip }]) => ({ ip, port, identity: identityOf(name) }));
    await sidecars.startPlane(
      [HTTP1, HTTP2, GRPC].map(({ port, address }) => ({ name: `port-${port}`, address, endpoints: endpoints(port) })),
    );
    for (const [name, pod] of Object.entries(servers)) {
      pod.spawn("nginx", ["-c", nginxConfig(join(sidecars.pods.folder, `${name}-nginx`), name)]);
      pod.spawn(grpcServer, [`0.0.0.0:${GRPC.port}`]);
      pod.redirect();
      proxies.set(name, await sidecars.start(name, pod, APPLICATIONS));
    }
    client.redirect();
    proxies.set("client", await sidecars.start("client", client, []));
  });
  after(() => sidecars.remove());

  /** Ends a proxy and waits: by itself it ends long before its grace period of two minutes, as nothing is left to wait for. */
  async function terminate(name: string): Promise<void> {
    const proxy = proxies.get(name) as ChildProcess;
    const ended = once(proxy, "exit");
    proxy.kill("SIGTERM");
    const [code] = await Promise.race([ended, sleep(ENDS_WITHIN_MS, ["it did not end"], { ref: false })]);
    assert.equal(code, 0);
  }

  const h2load = (options: string, { address }: { address: string }, path = ""): Promise<string> =>
    client.run("sh", ["-c", `h2load ${options} http://${address}/${path} 2>&1`]);

  async function steadyCalls(): Promise<void> {
    assert.equal(await client.run(grpcClient, [GRPC.address, "steady"]), "ok\n");
  }

  function assertWhole(said: string): void {
    assert.match(said, /20 succeeded, 0 failed, 0 errored, 0 timeout/);
    assert.match(said, new RegExp(`\\(${20 * LARGE_BYTES}\\) data`));
  }

  function assertNoneFailed(said: string): void {
    const [, done = "", succeeded = ""] =
      /(\d+) done, (\d+) succeeded, 0 failed, 0 errored, 0 timeout/.exec(said) ?? [];
    assert.ok(Number(done) > 100 && done === succeeded, said);
    // It counts heads: one more than answers, where its time was over between them.
    assert.match(said, /status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx/);
  }

  test("the server's proxy ends: requests go to the other endpoint", async (t) => {
    const loads = [
      ["HTTP/1, h2load", h2load(`--h1 -c 8 -D ${LOAD_S}`, HTTP1).then(assertNoneFailed)],
      ["HTTP/2, h2load", h2load(`-c 4 -m 4 -D ${LOAD_S}`, HTTP2).then(assertNoneFailed)],
      ["gRPC, grpc-go", steadyCalls()],
    ] as const;
    await sleep(LOAD_S * 400);
    await terminate("one");
    for (const [name, load] of loads) await t.test(name, () => load);
  });

  // h2load connects no more after a GOAWAY: over HTTP/2 it can judge its requests under way, and grpc-go those that follow.
  test("the client's proxy ends: what is under way is answered whole, and connections come again", async (t) => {
    const next = await sidecars.start("client", client, [], OTHER_PORTS);
    const loads = [
      ["HTTP/1, h2load", h2load(`--h1 -c 8 -D ${LOAD_S}`, HTTP1).then(assertNoneFailed)],
      ["HTTP/1, long answers, h2load", h2load("--h1 -c 20 -n 20", HTTP1, "slow").then(assertWhole)],
      ["HTTP/2, long answers, h2load", h2load("-c 4 -m 5 -n 20", HTTP2, "slow").then(assertWhole)],
      ["gRPC, grpc-go", steadyCalls()],
    ] as const;
    await sleep(LOAD_S * 400);
    // Behind the rules that let the proxies' own and loopback's connections pass.
    const rule = ["-p", "tcp", "-j", "REDIRECT", "--to-port", String(OTHER_PORTS.outbound)];
    await client.run("iptables", ["-t", "nat", "-I", "PROXY_INIT_OUTPUT", "3", ...rule]);
    await terminate("client");
    proxies.set("client", next);
    for (const [name, load] of loads) await t.test(name, () => load);
  });
});

/** Writes the configuration and what is served. @returns its path */
function nginxConfig(folder: string, name: string): string {
  mkdirSync(folder);
  writeFileSync(join(folder, "slow"), Buffer.alloc(LARGE_BYTES, name));
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((one) => `${one}_temp_path ${folder}/${one};`);
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; master_process off; user root; pid ${folder}/pid; error_log ${folder}/log;
    events { worker_connections 1024; }
    http { access_log off; ${paths.join(" ")}
      server { listen ${HTTP1.port}; listen ${HTTP2.port} http2; root ${folder};
        location = / { return 200 "${name}\\n"; }
        location = /slow { limit_rate 100000; } } }`,
  );
  return join(folder, "nginx.conf");
}
