import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { status } from "@grpc/grpc-js";
import { createTestAuthority } from "./support/authority.ts";
import { ControlPlane } from "./support/control-plane.ts";
import { type ProxyProcess, startProxyProcess } from "./support/proxy-process.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();

async function running(
  run: (proxy: ProxyProcess, plane: ControlPlane) => Promise<void>,
  options: { overrides?: Record<string, string | undefined>; prepare?: (plane: ControlPlane) => void } = {},
): Promise<void> {
  const plane = new ControlPlane({ authority });
  options.prepare?.(plane);
  const proxy = startProxyProcess(await plane.start(), authority, options.overrides);
  try {
    await run(proxy, plane);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${proxy.output()}`, { cause: error });
  } finally {
    await proxy.stop();
    plane.stop();
  }
}

async function ready(proxy: ProxyProcess): Promise<string> {
  const admin = await proxy.admin();
  await until("readiness", () => proxy.output().includes("ready in"), 10_000);
  return admin;
}

describe("the proxy's program", () => {
  it("is alive at once, ready with its first certificate, and listens only then", () =>
    running(
      async (proxy, plane) => {
        const admin = await proxy.admin();
        await until("a refused request", () => plane.certified.length > 0);
        assert.equal((await fetch(`${admin}/live`)).status, 200);
        const before = await fetch(`${admin}/ready`);
        assert.deepEqual([before.status, await before.text()], [503, "not ready\n"]);
        await assert.rejects(dial(41_430));
        plane.refusal = undefined;
        await ready(proxy);
        const after = await fetch(`${admin}/ready`);
        assert.deepEqual([after.status, await after.text()], [200, "ready\n"]);
        await dial(41_430);
      },
      {
        overrides: { LINKERD2_PROXY_INBOUND_LISTEN_ADDR: "127.0.0.1:41430" },
        prepare: (plane) => {
          plane.refusal = { code: status.UNAVAILABLE, details: "no issuer yet" };
        },
      },
    ));

  const promtool = spawnSync("promtool", ["--version"]).error === undefined;
  it(
    "tells its metrics in a form that Prometheus' own tool accepts",
    { skip: promtool ? false : "no promtool (apt-get install prometheus)" },
    () =>
      running(async (proxy) => {
        const admin = await ready(proxy);
        const input = await (await fetch(`${admin}/metrics`)).text();
        const { status: code, stderr } = spawnSync("promtool", ["check", "metrics"], { input });
        // 3: remarks on Linkerd's names; the format itself is read without error.
        assert.ok(code === 0 || code === 3, stderr.toString());
        assert.doesNotMatch(stderr.toString(), /error while linting/);
      }),
  );

  it("tells its metrics all or some of them, zipped or not", () =>
    running(async (proxy) => {
      const admin = await ready(proxy);
      const text = await (await fetch(`${admin}/metrics`)).text();
      for (const name of [
        "control_request_total",
        "control_response_latency_ms_bucket",
        "control_identity_cert_expiration_timestamp_seconds",
        'control_identity_cert_refreshes_total{result="ok"} 1',
        "process_start_time_seconds",
        "proxy_build_info",
      ]) {
        assert.ok(text.includes(name), name);
      }
      assert.ok(text.endsWith("# EOF\n"));
      const some = await (await fetch(`${admin}/metrics?families=process_open_fds,control_request_total`)).text();
      const families = [...some.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
      assert.deepEqual(families, ["control_request_total", "process_open_fds"]);
      // curl asks for what fetch would unpack unseen.
      const zipped = await curl(`${admin}/metrics?families=process_open_fds`, "-H", "accept-encoding: gzip");
      assert.match(
        gunzipSync(zipped).toString(),
        /^# HELP process_open_fds .*\n# TYPE .*\nprocess_open_fds \d+\n# EOF\n$/,
      );
    }));

  it("shows its environment and changes its log filter", () =>
    running(async (proxy) => {
      const admin = await ready(proxy);
      const one = await fetch(`${admin}/env.json?LINKERD2_PROXY_POLICY_WORKLOAD`);
      assert.deepEqual(await one.json(), { LINKERD2_PROXY_POLICY_WORKLOAD: '{"ns":"shop", "pod":"web-1"}' });
      assert.equal((await fetch(`${admin}/env.json?A=1`)).status, 400);
      assert.equal(await (await fetch(`${admin}/proxy-log-level`)).text(), "warn,linkerd=info\n");
      const put = (body: string) => fetch(`${admin}/proxy-log-level`, { method: "PUT", body });
      assert.equal((await put("linkerd=loud")).status, 400);
      assert.equal((await put("warn,linkerd=debug")).status, 204);
      const wrong = await fetch(`${admin}/proxy-log-level`, { method: "POST" });
      assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "GET, PUT"]);
      assert.equal((await fetch(`${admin}/nothing`)).status, 404);
      assert.equal((await fetch(`${admin}/shutdown`, { method: "POST" })).status, 404);
    }));

  it("logs by its new filter at once, target by target, and tells nobody outside its pod of it", () =>
    running(
      async (proxy) => {
        const admin = await ready(proxy);
        const set = async (filter: string): Promise<string> => {
          const before = proxy.output().length;
          const answer = await fetch(`${admin}/proxy-log-level`, { method: "PUT", body: filter });
          assert.equal(answer.status, 204, filter);
          assert.equal(await (await fetch(`${admin}/proxy-log-level`)).text(), `${filter || "warn"}\n`);
          return proxy.output().slice(before);
        };
        const told = /INFO linkerd_admin: the log filter is now "(.*)"/;
        assert.equal(told.exec(await set("warn,linkerd=info"))?.[1], "warn,linkerd=info");
        assert.doesNotMatch(await set("warn"), told);
        assert.doesNotMatch(await set("warn,linkerd_proxy=debug"), told);
        assert.match(await set("off,linkerd_admin=3"), told);
        assert.match(await set("WARN,linkerd[{headers}]=off,linkerd_adm=TRACE"), told);
        assert.doesNotMatch(await set(""), told);
        const [, port = ""] = new URL(admin).host.split(":");
        const elsewhere = addressOfThisMachine();
        if (elsewhere === undefined) return;
        const outside = await fetch(`http://${elsewhere}:${port}/proxy-log-level`);
        assert.deepEqual([outside.status, await outside.text()], [403, "only from this pod\n"]);
        assert.equal((await fetch(`http://${elsewhere}:${port}/live`)).status, 200);
      },
      { overrides: { LINKERD2_PROXY_ADMIN_LISTEN_ADDR: "0.0.0.0:0" } },
    ));

  it("ends with 0 on SIGTERM, ready or not, and on /shutdown where that is enabled", async () => {
    await running(async (proxy) => {
      await ready(proxy);
      proxy.child.kill("SIGTERM");
      assert.equal(await proxy.ended, 0);
    });
    await running(
      async (proxy) => {
        await proxy.admin();
        proxy.child.kill("SIGTERM");
        assert.equal(await proxy.ended, 0);
      },
      {
        prepare: (plane) => {
          plane.refusal = { code: status.UNAVAILABLE, details: "no issuer yet" };
        },
      },
    );
    await running(
      async (proxy) => {
        const admin = await ready(proxy);
        assert.equal(await (await fetch(`${admin}/shutdown`, { method: "POST" })).text(), "shutdown\n");
        assert.equal(await proxy.ended, 0);
      },
      { overrides: { LINKERD2_PROXY_SHUTDOWN_ENDPOINT_ENABLED: "true" } },
    );
  });

  it("says in one line what is wrong with its environment, and ends with 64", async () => {
    const cases: readonly [overrides: Record<string, string | undefined>, problem: RegExp][] = [
      [{ LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT: "fast" }, /INBOUND_CONNECT_TIMEOUT: "fast" is not a duration/],
      [{ LINKERD2_PROXY_POLICY_WORKLOAD: undefined }, /POLICY_WORKLOAD: is required/],
      [{ LINKERD2_PROXY_IDENTITY_TOKEN_FILE: "/nowhere" }, /IDENTITY_TOKEN_FILE: \/nowhere does not exist/],
      [{ WEFT_TRUST_BUNDLE_FILE: "/nowhere" }, /WEFT_TRUST_BUNDLE_FILE: the trust anchors cannot be read/],
    ];
    for (const [overrides, problem] of cases) {
      await running(
        async (proxy) => {
          assert.equal(await proxy.ended, 64);
          assert.match(proxy.output().trim(), problem);
          assert.equal(proxy.output().trim().split("\n").length, 1);
        },
        { overrides },
      );
    }
  });

  it("says why where it cannot listen", () =>
    running(async (first) => {
      const taken = new URL(await first.admin()).host;
      await running(
        async (second) => {
          assert.equal(await second.ended, 70);
          assert.match(second.output(), /cannot listen on 127\.0\.0\.1:\d+ for admin: listen EADDRINUSE/);
        },
        { overrides: { LINKERD2_PROXY_ADMIN_LISTEN_ADDR: taken } },
      );
    }));
});

function dial(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
}

/** Another than loopback's. undefined: it has none. */
function addressOfThisMachine(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

function curl(...args: string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    execFile("curl", ["-sf", ...args], { encoding: "buffer" }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}
