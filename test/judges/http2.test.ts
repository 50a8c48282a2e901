/** HTTP/2 by prior knowledge: curl, h2load, nginx, nghttpd and nghttpx, through two proxies and mTLS. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { noise, Pair, SERVICE, sha256 } from "./support/pair.ts";

const NGINX = 8081;
/** Ends each connection after 20 requests, as nginx does after 1,000. */
const BRIEF = 8084;
const NGHTTPD = 8082;
const NGINX_HTTP1 = 8086;
/** nghttpx as the mesh's server, before nghttpd. */
const NGHTTPX = 8085;
/** nghttpx as the mesh's client: over HTTP/2, over HTTP/1.1, and over HTTP/2 to nghttpx. */
const FRONT = { http2: 8091, http1: 8092, nghttpx: 8093 } as const;

describe("HTTP/2: curl, h2load, nginx, nghttp2", () => {
  const pair = new Pair({
    [NGINX]: "detect",
    [NGINX_HTTP1]: "detect",
    [BRIEF]: "detect",
    [NGHTTPD]: "detect",
    [NGHTTPX]: "detect",
  });
  const file = (name: string): string => join(pair.folder, name);
  const large = noise(8_000_000, "large");
  const curl = (options: string): Promise<string> =>
    pair.atClient(`curl -sS --http2-prior-knowledge --max-time 20 ${options}`);

  before(async () => {
    await pair.start();
    for (const folder of ["www", "www/up", "tmp"]) mkdirSync(file(folder), { mode: 0o777, recursive: true });
    writeFileSync(file("large"), large);
    writeFileSync(file("www/large"), large);
    writeFileSync(file("www/small"), "small\n");
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${file("tmp")};`,
    );
    writeFileSync(
      file("server.conf"),
      `daemon off; master_process off; user root; pid ${file("server.pid")}; error_log ${file("server.log")};
      events { worker_connections 512; }
      http { access_log off; default_type text/plain; ${paths.join(" ")}
        server { listen ${NGINX} http2; listen ${NGINX_HTTP1}; root ${file("www")}; client_max_body_size 0; location /up/ { dav_methods PUT; } }
        server { listen ${BRIEF} http2; root ${file("www")}; keepalive_requests 20; } }`,
    );
    await pair.serve(NGINX, "nginx", ["-c", file("server.conf")]);
    await pair.serve(NGHTTPD, "nghttpd", [
      "--no-tls",
      "-d",
      file("www"),
      "--trailer",
      "x-trailer: at the end",
      String(NGHTTPD),
    ]);
    const nghttpx = (name: string, frontend: string, ...backend: string[]): string[] => {
      const plain = ["--workers=1", "--no-ocsp", "--conf=/dev/null", `--errorlog-file=${file(`${name}.log`)}`];
      return [...plain, `--frontend=${frontend};no-tls`, ...backend.map((one) => `--backend=${one}`)];
    };
    await pair.serve(NGHTTPX, "nghttpx", nghttpx("server", `*,${NGHTTPX}`, `127.0.0.1,${NGHTTPD};;proto=h2`));
    for (const [name, backend] of [
      ["http2", `${SERVICE},${NGHTTPD};;proto=h2`],
      ["http1", `${SERVICE},${NGINX_HTTP1}`],
      ["nghttpx", `${SERVICE},${NGHTTPX};;proto=h2`],
    ] as const)
      pair.client.pod.spawn("nghttpx", nghttpx(name, `127.0.0.1,${FRONT[name]}`, backend));
  });
  after(() => pair.remove());

  for (const [name, port] of [
    ["nginx", NGINX],
    ["nghttpd", NGHTTPD],
  ] as const) {
    const url = `http://${SERVICE}:${port}`;

    test(`${name}: curl downloads and asks for heads`, async () => {
      await curl(`-o ${file("got")} ${url}/large`);
      assert.equal(sha256(readFileSync(file("got"))), sha256(large));
      assert.match(await curl(`-I ${url}/large`), /^HTTP\/2 200/);
      assert.equal(await curl(`-w '%{http_code}' -o /dev/null ${url}/missing`), "404");
    });

    // curl 7.88 cannot use such a connection twice, with or without a mesh: nghttp can.
    test(`${name}: nghttp asks five times on one connection`, async () => {
      assert.equal(await pair.atClient(`nghttp -m 5 ${url}/small`), "small\n".repeat(5));
    });

    test(`${name}: h2load with many streams, small and large bodies`, async () => {
      const small = await pair.atClient(`h2load -n 4000 -c 8 -m 10 ${url}/small 2>&1`);
      assert.match(small, /4000 succeeded, 0 failed, 0 errored, 0 timeout/);
      const bodies = await pair.atClient(`h2load -n 40 -c 4 -m 5 ${url}/large 2>&1`);
      assert.match(bodies, /40 succeeded, 0 failed, 0 errored, 0 timeout/);
      assert.match(bodies, /\(320000000\) data/);
    });
  }

  test("nginx that ends connections by GOAWAY while requests are on their way: none is lost, none waits", async () => {
    const said = await pair.atClient(`h2load -n 6000 -c 4 -m 80 http://${SERVICE}:${BRIEF}/small 2>&1`);
    assert.match(said, /6000 succeeded, 0 failed, 0 errored, 0 timeout/);
    assert.match(said, /status codes: 6000 2xx/);
  });

  test("curl uploads to nginx", async () => {
    assert.equal(await curl(`-w '%{http_code}' -T ${file("large")} http://${SERVICE}:${NGINX}/up/one`), "201");
    assert.equal(sha256(readFileSync(file("www/up/one"))), sha256(large));
  });

  test("nghttp sees nghttpd's trailers", async () => {
    assert.match(await pair.atClient(`nghttp -v http://${SERVICE}:${NGHTTPD}/small`), /x-trailer: at the end/);
  });

  test("Node as a client: a GOAWAY that overtakes the heads of its own requests costs none of them", async () => {
    const script = `
      const session = require("node:http2").connect("http://${SERVICE}:${NGINX}");
      session.once("connect", () => {
        for (let at = 0; at < 3; at++) {
          const stream = session.request({ ":path": "/small" });
          let text = "";
          stream.on("data", (chunk) => { text += chunk; });
          stream.on("close", () => console.log(stream.rstCode + " " + text.trim()));
        }
        session.close();
      });`;
    const said = await pair.client.pod.run(process.execPath, ["-e", script]);
    assert.equal(said, "0 small\n".repeat(3));
  });

  for (const [name, port] of Object.entries(FRONT)) {
    test(`nghttpx as a client, ${name}: HTTP/1.1 and HTTP/2 in, through the mesh`, async () => {
      const front = `http://127.0.0.1:${port}`;
      assert.equal(
        await pair.atClient(`curl -sS --retry 20 --retry-connrefused --retry-delay 0 ${front}/small`),
        "small\n",
      );
      await curl(`-o ${file("got")} ${front}/large`);
      assert.equal(sha256(readFileSync(file("got"))), sha256(large));
      const load = await pair.atClient(`h2load -n 2000 -c 8 -m 10 ${front}/small 2>&1`);
      assert.match(load, /2000 succeeded, 0 failed, 0 errored, 0 timeout/);
    });
  }

  test("nghttpx as a server: HTTP/1.1 and HTTP/2", async () => {
    const url = `http://${SERVICE}:${NGHTTPX}`;
    await pair.atClient(`curl -sS --max-time 20 -o ${file("got")} ${url}/large`);
    assert.equal(sha256(readFileSync(file("got"))), sha256(large));
    for (const options of ["-c 8 -m 10", "--h1 -c 8"]) {
      const load = await pair.atClient(`h2load -n 2000 ${options} ${url}/small 2>&1`);
      assert.match(load, /2000 succeeded, 0 failed, 0 errored, 0 timeout/);
      assert.match(load, /status codes: 2000 2xx/);
    }
  });
});
