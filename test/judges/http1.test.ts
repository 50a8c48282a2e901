/** curl, nginx as a server and as a client, and h2load over HTTP/1.1, through two proxies and mTLS. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { noise, Pair, SERVICE, sha256 } from "./support/pair.ts";

const PORT = 8080;
const FRONT = 8090;

for (const hinted of [true, false]) {
  describe(`HTTP/1${hinted ? " over HTTP/2" : ""}: curl and nginx`, () => {
    const pair = new Pair({ [PORT]: "detect" }, hinted);
    const url = `http://${SERVICE}:${PORT}`;
    const file = (name: string): string => join(pair.folder, name);
    const large = noise(8_000_000, "large");
    const curl = (options: string): Promise<string> => pair.atClient(`curl -sS --max-time 20 ${options}`);
    const head = (text: string): string => text.toLowerCase();

    before(async () => {
      await pair.start();
      for (const folder of ["www", "www/up", "tmp"]) mkdirSync(file(folder), { mode: 0o777, recursive: true });
      writeFileSync(file("large"), large);
      writeFileSync(file("www/large"), large);
      writeFileSync(file("www/small"), "small\n");
      writeFileSync(file("www/empty"), "");
      writeFileSync(file("www/text.html"), "all work and no play\n".repeat(50_000));
      const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        (name) => `${name}_temp_path ${file("tmp")};`,
      );
      const frame = (name: string, http: string): string => `
      daemon off; master_process off; user root; pid ${file(name)}.pid; error_log ${file(name)}.log;
      events { worker_connections 512; }
      http { access_log off; keepalive_requests 1000; default_type text/plain; types { text/html html; } ${paths.join(" ")} ${http} }`;
      writeFileSync(
        file("server.conf"),
        frame(
          "server",
          `server { listen ${PORT}; root ${file("www")}; client_max_body_size 0; etag on;
          location /up/ { dav_methods PUT DELETE; }
          location /zip/ { alias ${file("www")}/; gzip on; gzip_proxied any; gzip_http_version 1.0; add_trailer x-trailer "at the end"; }
          location = /moved { return 301 /small; }
          location = /nothing { return 204; }
          location = /cut { return 444; }
        }`,
        ),
      );
      writeFileSync(
        file("front.conf"),
        frame(
          "front",
          `upstream mesh { server ${SERVICE}:${PORT}; keepalive 8; }
         server { listen 127.0.0.1:${FRONT}; client_max_body_size 0;
          location / { proxy_pass http://mesh; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; }
          location /old/ { proxy_pass http://mesh/; }
        }`,
        ),
      );
      await pair.serve(PORT, "nginx", ["-c", file("server.conf")]);
      pair.client.pod.spawn("nginx", ["-c", file("front.conf")]);
    });
    after(() => pair.remove());

    test("downloads: whole, a range, none, and on one connection", async () => {
      await curl(`-o ${file("got")} ${url}/large`);
      assert.equal(sha256(readFileSync(file("got"))), sha256(large));
      await curl(`-o ${file("got")} -r 1000-4999999 ${url}/large`);
      assert.equal(sha256(readFileSync(file("got"))), sha256(large.subarray(1_000, 5_000_000)));
      assert.equal(await curl(`-w '%{http_code} %{size_download}' ${url}/empty`), "200 0");
      const report = await curl(`-w '%{num_connects} ' ${url}/small ${url}/small ${url}/empty ${url}/nothing`);
      assert.equal(report, "small\n1 small\n0 0 0 ");
    });

    test("HEAD, redirects, conditions and answers without a body keep the connection", async () => {
      const answer = head(await curl(`-I ${url}/large`));
      assert.match(answer, /^http\/1\.1 200/);
      assert.match(answer, /content-length: 8000000\r/);
      const etag = /etag: (.*)\r/.exec(answer)?.[1];
      const again = await curl(
        `-w '%{http_code} %{num_connects}\\n' -H 'If-None-Match: ${etag}' ${url}/large ${url}/large`,
      );
      assert.equal(again, "304 1\n304 0\n");
      assert.equal(await curl(`-L -w '%{http_code} %{num_redirects}' ${url}/moved`), "small\n200 1");
      assert.equal(await curl(`-w '%{http_code}' -o /dev/null ${url}/missing`), "404");
    });

    test("uploads: with a length, chunked, with and without Expect", async () => {
      for (const [name, options] of [
        ["length", ""],
        ["chunked", "-H 'Transfer-Encoding: chunked'"],
        ["unexpected", "-H 'Expect:'"],
        ["expected", "-H 'Expect: 100-continue' --expect100-timeout 15"],
      ]) {
        const said = await curl(`-w '%{http_code}' -T ${file("large")} ${options} ${url}/up/${name}`);
        assert.equal(said, "201", name);
        assert.equal(sha256(readFileSync(file(`www/up/${name}`))), sha256(large), name);
      }
      assert.equal(await curl(`-w '%{http_code}' -X DELETE ${url}/up/length`), "204");
    });

    test("a compressed, chunked body with trailers", async () => {
      const dump = head(await curl(`-D - -o ${file("got")} --compressed ${url}/zip/text.html`));
      assert.equal(sha256(readFileSync(file("got"))), sha256(readFileSync(file("www/text.html"))));
      assert.match(dump, /transfer-encoding: chunked\r/);
      assert.match(dump, /content-encoding: gzip\r/);
      assert.match(dump, /\r\n\r\nx-trailer: at the end\r/);
    });

    test("HTTP/1.0, with and without an end by close", async () => {
      const answer = head(await curl(`-0 -D - -o ${file("got")} --compressed ${url}/zip/text.html`));
      assert.doesNotMatch(answer, /transfer-encoding/);
      assert.equal(sha256(readFileSync(file("got"))), sha256(readFileSync(file("www/text.html"))));
      assert.equal(await curl(`-0 ${url}/small`), "small\n");
      assert.equal(
        await curl(`-0 -w ' %{num_connects}' -H 'Connection: keep-alive' ${url}/small ${url}/small`),
        "small\n 1small\n 0",
      );
    });

    test("a server that hangs up instead of answering: 502, and the client's connection goes on", async () => {
      const said = await curl(`-w '%{http_code} %{num_connects}\\n' -o /dev/null -o /dev/null ${url}/cut ${url}/small`);
      assert.match(said, /^502 1\n200 [01]\n$/);
    });

    test("nginx as a client: kept connections, HTTP/1.0, bodies both ways", async () => {
      const front = `http://127.0.0.1:${FRONT}`;
      await curl(`--retry 20 --retry-connrefused --retry-delay 0 ${front}/small`);
      await curl(`-o ${file("got")} ${front}/large`);
      assert.equal(sha256(readFileSync(file("got"))), sha256(large));
      assert.equal(await curl(`-w '%{http_code}' -T ${file("large")} ${front}/up/front`), "201");
      assert.equal(sha256(readFileSync(file("www/up/front"))), sha256(large));
      await curl(`-o ${file("got")} ${front}/old/large`);
      assert.equal(sha256(readFileSync(file("got"))), sha256(large));
      const load = await pair.atClient(`h2load --h1 -n 2000 -c 16 ${front}/small 2>&1`);
      assert.match(load, /2000 succeeded, 0 failed, 0 errored, 0 timeout/);
      assert.match(load, /status codes: 2000 2xx/);
    });

    test("h2load over HTTP/1.1: every answer whole, though it closes when it is done", async () => {
      const load = await pair.atClient(`h2load --h1 -n 4000 -c 32 ${url}/small ${url}/empty 2>&1`);
      assert.match(load, /4000 succeeded, 0 failed, 0 errored, 0 timeout/);
      assert.match(load, /status codes: 4000 2xx/);
    });
  });
}
