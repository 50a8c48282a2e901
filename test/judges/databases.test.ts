/** PostgreSQL, Redis and MariaDB by their own clients, through two proxies and mTLS: found out to be opaque, or said to be. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeMesh } from "../integration/proxy-data-plane/support/certificates.ts";
import { Pair, SERVICE, sha256 } from "./support/pair.ts";

const id = (flag: "-u" | "-g", user: string): number => Number(execFileSync("id", [flag, user], { encoding: "utf8" }));

/** A folder in the pair's that belongs to `user`. */
function home(pair: Pair, user: string): string {
  const folder = join(pair.folder, user);
  mkdirSync(folder, { mode: 0o755 });
  chownSync(folder, id("-u", user), id("-g", user));
  return folder;
}

function run(user: string, command: string, argv: readonly string[]): void {
  execFileSync("setpriv", [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--", command, ...argv], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: "/",
  });
}

describe("PostgreSQL", () => {
  const PORTS = { detect: 5432, opaque: 5433 } as const;
  const pair = new Pair({ [PORTS.detect]: "detect", [PORTS.opaque]: "opaque" });
  const bin = globSync("/usr/lib/postgresql/*/bin").sort().at(-1) as string;
  const servers: ChildProcess[] = [];

  before(async () => {
    await pair.start();
    const folder = home(pair, "postgres");
    const { key, certificate } = makeMesh()("postgres.test");
    const own = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(path, text);
      chownSync(path, id("-u", "postgres"), id("-g", "postgres"));
      chmodSync(path, 0o600);
      return path;
    };
    const tls = ["-cssl=on", `-cssl_key_file=${own("key", key)}`, `-cssl_cert_file=${own("certificate", certificate)}`];
    const common = ["-cfsync=off", "-clisten_addresses=*", "-cdynamic_shared_memory_type=mmap", "-cjit=off", ...tls];
    for (const [name, port] of Object.entries(PORTS)) {
      const data = join(folder, name);
      run("postgres", join(bin, "initdb"), ["-D", data, "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]);
      writeFileSync(join(data, "pg_hba.conf"), "local all all trust\nhost all all 0.0.0.0/0 trust\n");
      const argv = ["-D", data, "-p", String(port), "-k", folder, ...common];
      servers.push(await pair.serve(port, join(bin, "postgres"), argv, "postgres"));
    }
  });
  after(async () => {
    for (const server of servers) await pair.end(server, "SIGINT");
    await pair.remove();
  });

  const psql = (host: string, port: number, mode: string, sql: string): string =>
    `psql -XAtq -v ON_ERROR_STOP=1 "host=${host} port=${port} user=postgres dbname=postgres sslmode=${mode} connect_timeout=10" <<'SQL'\n${sql}\nSQL`;
  const TABLE = "select i, md5(i::text) from generate_series(1, 60000) i;";

  const sameRows = async (port: number, mode: "disable" | "require"): Promise<void> => {
    const expected = await pair.atServer(psql("127.0.0.1", port, "disable", TABLE));
    const got = await pair.atClient(psql(SERVICE, port, mode, TABLE));
    assert.ok(got.length > 1_000_000);
    assert.equal(sha256(got), sha256(expected));
    const asked = psql(SERVICE, port, mode, "select ssl from pg_stat_ssl where pid = pg_backend_pid();");
    assert.equal(await pair.atClient(asked), mode === "require" ? "t\n" : "f\n");
  };

  for (const [name, port] of Object.entries(PORTS)) {
    test(`psql, port ${name}: the same rows as without a mesh`, () => sameRows(port, "disable"));

    test(`pgbench, port ${name}: no transaction fails, COPY included`, async () => {
      const address = `-h ${SERVICE} -p ${port} -U postgres`;
      await pair.atClient(`PGSSLMODE=disable pgbench ${address} -i -q -s 2 postgres 2>&1`);
      const said = await pair.atClient(
        `PGSSLMODE=disable pgbench ${address} -n -c 8 -j 2 -t 50 -M prepared postgres 2>&1`,
      );
      assert.match(said, /actually processed: 400\/400/);
      assert.match(said, /failed transactions: 0 /);
    });
  }

  test("every connection ended well", async () => assert.deepEqual(await pair.unclean("none"), []));

  // From here on the server resets connections itself: it leaves before it has read its client's close_notify.
  for (const [name, port] of Object.entries(PORTS)) {
    test(`psql, port ${name}, with TLS of its own inside: the same rows`, () => sameRows(port, "require"));
  }

  test("a query is cancelled by a connection of its own", async () => {
    const line = psql(SERVICE, PORTS.detect, "disable", "select pg_sleep(15);").replace(
      "psql",
      "timeout -s INT 1 psql",
    );
    const began = performance.now();
    await assert.rejects(pair.atClient(line), /canceling statement|Cancel request sent/);
    assert.ok(performance.now() - began < 10_000);
  });
});

describe("Redis", () => {
  const PORTS = { detect: 6379, opaque: 6380 } as const;
  const pair = new Pair({ [PORTS.detect]: "detect", [PORTS.opaque]: "opaque" });

  before(async () => {
    await pair.start();
    for (const port of Object.values(PORTS)) {
      const argv = [
        "--port",
        String(port),
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        pair.folder,
      ];
      await pair.serve(port, "redis-server", argv);
    }
  });
  after(() => pair.remove());

  for (const [name, port] of Object.entries(PORTS)) {
    const cli = `redis-cli -h ${SERVICE} -p ${port}`;

    test(`redis-cli, port ${name}: values come back, large and binary`, async () => {
      const value = join(pair.folder, `value-${port}`);
      await pair.atClient(`head -c 5000000 /dev/urandom > ${value}`);
      assert.equal(await pair.atClient(`${cli} -x set large < ${value}`), "OK\n");
      const script = `${cli} --raw get large | head -c 5000000 | cmp - ${value} && echo same`;
      assert.equal(await pair.atClient(script), "same\n");
      const mass = `for i in $(seq 1 20000); do echo "SET key$i $i"; done | ${cli} --pipe`;
      assert.match(await pair.atClient(mass), /errors: 0, replies: 20000/);
      assert.equal(await pair.atClient(`${cli} get key19999`), "19999\n");
    });

    test(`redis-benchmark, port ${name}: pipelines of 16`, async () => {
      const said = await pair.atClient(
        `redis-benchmark -h ${SERVICE} -p ${port} -n 20000 -c 20 -P 16 -t set,get,lrange_100 --csv`,
      );
      assert.match(said, /"SET","[\d.]+"/);
      assert.match(said, /"GET","[\d.]+"/);
      assert.doesNotMatch(said, /error/i);
    });

    test(`publish and subscribe, port ${name}`, async () => {
      const heard = pair.atClient(`timeout 3 ${cli} subscribe news; true`);
      for (let tries = 0; tries < 50; tries++) {
        if ((await pair.atClient(`${cli} publish news ready`)) === "1\n") break;
        await sleep(20);
      }
      for (let turn = 0; turn < 5; turn++) await pair.atClient(`${cli} publish news item${turn}`);
      assert.match(await heard, /item0[\s\S]*item1[\s\S]*item2[\s\S]*item3[\s\S]*item4/);
    });
  }
});

describe("MariaDB speaks first", () => {
  const PORT = 3306;
  const pair = new Pair({ [PORT]: "opaque" });
  let server: ChildProcess | undefined;

  before(async () => {
    await pair.start();
    const folder = home(pair, "mysql");
    const data = join(folder, "data");
    const common = ["--no-defaults", `--datadir=${data}`];
    run("mysql", "mariadb-install-db", [...common, "--skip-test-db", "--auth-root-authentication-method=normal"]);
    const rest = ["--skip-grant-tables", "--skip-networking=0", "--bind-address=0.0.0.0", "--skip-name-resolve"];
    const files = [`--socket=${folder}/socket`, `--pid-file=${folder}/pid`, `--log-error=${folder}/log`];
    server = await pair.serve(PORT, "mariadbd", [...common, ...rest, ...files, `--port=${PORT}`], "mysql");
  });
  after(async () => {
    await pair.end(server, "SIGTERM");
    await pair.remove();
  });

  const mariadb = (host: string, sql: string): string =>
    `mariadb --no-defaults --skip-ssl -h ${host} -P ${PORT} -u root -N -e "${sql}"`;

  test("its greeting comes at once, and the same rows as without a mesh", async () => {
    const began = performance.now();
    assert.equal(await pair.atClient(mariadb(SERVICE, "select 6 * 7")), "42\n");
    // A proxy that waited for the client's first byte would find nothing for ten seconds.
    assert.ok(performance.now() - began < 3_000);
    const rows = "select seq, md5(seq) from mysql.dual, seq_1_to_60000".replace("mysql.dual, ", "");
    const sql = `use mysql; ${rows}`;
    assert.equal(
      sha256(await pair.atClient(mariadb(SERVICE, sql))),
      sha256(await pair.atServer(mariadb("127.0.0.1", sql))),
    );
  });

  test("every connection ended well", async () => assert.deepEqual(await pair.unclean("none"), []));
});
