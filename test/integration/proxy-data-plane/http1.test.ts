/** HTTP/1.1 through redirect, two proxies and mTLS, over both transports, by programs that know nothing of it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClientResult, ClientScript } from "./support/client.ts";
import { ask, curl, endpoint, type MeshedPod, PORTS, play, SERVICE_IP, sum, TestMesh } from "./support/mesh.ts";

const RAW_IP = "10.96.0.11";
const HOST = "host: web";

interface Echo {
  readonly length: number;
  readonly sha256: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** With the hint it rides over HTTP/2 between the proxies. */
const ways = [
  { transport: "handles", hint: {} },
  { transport: "sockets", hint: {} },
  { transport: "handles", hint: { protocolHint: "h2" } },
  { transport: "sockets", hint: { protocolHint: "h2" } },
] as const;

for (const { transport, hint } of ways) {
  const carried = "protocolHint" in hint;
  describe(`HTTP/1.1 between two meshed pods, over ${transport}${carried ? " and HTTP/2" : ""}`, () => {
    const mesh = new TestMesh();
    let client: MeshedPod;
    let server: MeshedPod;
    const url = `http://${SERVICE_IP}:80`;
    /** 5 MB that no compression or repetition could fake. */
    const large = join(mesh.pods.folder, "large");
    const content = createHash("shake256", { outputLength: 5_000_000 }).update("large").digest();

    before(async () => {
      writeFileSync(large, content);
      server = await mesh.add("server", { transport, policies: { [PORTS.http]: { forbidden: "/forbidden" } } });
      await mesh.startApplication(server, "one");
      client = await mesh.add("client", {
        transport,
        targets: {
          [`${SERVICE_IP}:80`]: { endpoints: [endpoint(server, PORTS.http, hint)] },
          [`${SERVICE_IP}:81`]: { endpoints: [endpoint(server, PORTS.http, { ...hint, proxyPort: false })] },
          [`${RAW_IP}:80`]: { endpoints: [endpoint(server, PORTS.raw, hint)] },
        },
      });
      await mesh.startApplication(client, "myself");
      const own = { [`${SERVICE_IP}:82`]: { endpoints: [endpoint(client, PORTS.http)] } };
      await ask(client.proxy, { set: own });
    });
    after(() => mesh.remove());

    const script = (steps: ClientScript["steps"], ip = SERVICE_IP): Promise<ClientResult> =>
      play(client.pod, { ip, port: 80, steps });
    /** Has the raw server answer with `response`, and end as `how` says. */
    const raw = (
      response: string,
      how: "end" | "reset" | "stay",
      request = { method: "GET", version: "1.1" },
      rest: ClientScript["steps"] = [],
    ): Promise<ClientResult> => {
      const target = `/${how}?${encodeURIComponent(Buffer.from(response, "latin1").toString("base64"))}`;
      const head = `${request.method} ${target} HTTP/${request.version}\r\n${HOST}\r\n\r\n`;
      return script([{ send: head }, ...rest], RAW_IP);
    };

    test("a request reaches the application over mTLS, and both sides count it", async () => {
      assert.equal(await curl(client.pod, `${url}/`), "hello from one\n");
      const { name } = server.credentials;
      assert.equal(
        await sum(client.proxy, "request_total", 'direction="outbound"', `tls="true",server_id="${name}"`),
        1,
      );
      const clientId = `tls="true",client_id="${client.credentials.name}"`;
      assert.equal(
        await sum(server.proxy, "request_total", 'direction="inbound"', clientId, 'route_name="default"'),
        1,
      );
      assert.equal(
        await sum(server.proxy, "response_total", clientId, 'status_code="200",classification="success"'),
        1,
      );
    });

    test("without a transport header the redirect leads to the peer's proxy", async () => {
      assert.equal(await curl(client.pod, `http://${SERVICE_IP}:81/`), "hello from one\n");
    });

    test("a service that leads back to the pod itself is reached over loopback, in plain text", async () => {
      assert.equal(await curl(client.pod, `http://${SERVICE_IP}:82/`), "hello from myself\n");
      const plain = 'tls="no_identity",no_tls_reason="loopback"';
      assert.equal(await sum(client.proxy, "request_total", 'direction="outbound"', plain), 1);
    });

    test("the application learns who calls, and only from the proxy", async () => {
      const echo = JSON.parse(await curl(client.pod, "-H", "l5d-client-id: liar", `${url}/echo`)) as Echo;
      assert.equal(echo.headers["l5d-client-id"], client.credentials.name);
      const plain = mesh.pods.add();
      const unmeshed = JSON.parse(
        await curl(plain, "-H", "l5d-client-id: liar", `http://${server.pod.ip}:${PORTS.http}/echo`),
      ) as Echo;
      assert.equal(unmeshed.headers["l5d-client-id"], undefined);
    });

    test("large bodies go both ways whole: with a length, and chunked", async () => {
      const expected = createHash("sha256").update(content).digest("hex");
      for (const chunked of [[], ["-H", "transfer-encoding: chunked"]]) {
        const answer = await curl(client.pod, ...chunked, "--data-binary", `@${large}`, `${url}/echo`);
        const echo = JSON.parse(answer) as Echo;
        assert.equal(echo.length, content.length);
        assert.equal(echo.sha256, expected);
      }
      for (const query of ["n=20000000", "n=20000000&length"]) {
        const size = await curl(
          client.pod,
          "-o",
          "/dev/null",
          "-w",
          "%{size_download} %{http_code}",
          `${url}/bytes?${query}`,
        );
        assert.equal(size, "20000000 200");
      }
    });

    test("a slow reader holds the server back, and loses nothing", async () => {
      const answer = await curl(
        client.pod,
        "--limit-rate",
        "4M",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}",
        `${url}/bytes?n=6000000`,
      );
      assert.equal(answer, "6000000");
    });

    test("connections are kept and used again", async () => {
      const answer = await curl(client.pod, "-w", " %{num_connects}\n", `${url}/a`, `${url}/b`, `${url}/c`);
      assert.deepEqual(
        answer.split("\n").filter((line) => line.startsWith(" ")),
        [" 1", " 0", " 0"],
      );
    });

    if (carried) {
      test("the requests of many connections share one between the proxies", async () => {
        const opened = (): Promise<number> => sum(client.proxy, "tcp_open_total", 'peer="dst"', 'tls="true"');
        const before = await opened();
        await Promise.all(Array.from({ length: 5 }, () => curl(client.pod, `${url}/slow?ms=50`)));
        assert.equal(await opened(), before);
      });
    }

    test("pipelined requests are answered in order", async () => {
      const requests = ["/slow?ms=100", "/", "/status?code=404"].map((path, index) => {
        const close = index === 2 ? "connection: close\r\n" : "";
        return `GET ${path} HTTP/1.1\r\n${HOST}\r\n${close}\r\n`;
      });
      const { received, ended } = await script([{ send: requests.join("") }]);
      assert.deepEqual(received.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 404"]);
      assert.ok(received.indexOf("slow") < received.indexOf("hello from one"));
      assert.equal(ended, true);
    });

    test("Expect: 100-continue is the application's to answer", async () => {
      const head = `POST /echo HTTP/1.1\r\n${HOST}\r\ncontent-length: 4\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`;
      const { received } = await script([{ send: head }, { waitFor: "100 Continue\r\n\r\n" }, { send: "body" }]);
      assert.match(received, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
      assert.match(received, /"length":4/);
    });

    test("interim answers pass", async () => {
      const { received } = await script([
        { send: `GET /early-hints HTTP/1.1\r\n${HOST}\r\nconnection: close\r\n\r\n` },
      ]);
      assert.match(
        received,
        /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/style\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n/i,
      );
    });

    test("answers without a body end with their head", async () => {
      const requests = [
        `HEAD /bytes?n=1000&length HTTP/1.1\r\n${HOST}\r\n\r\n`,
        `GET /status?code=204 HTTP/1.1\r\n${HOST}\r\n\r\n`,
        `GET /status?code=304 HTTP/1.1\r\n${HOST}\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}\r\nconnection: close\r\n\r\n`,
      ];
      const { received } = await script(requests.map((send) => ({ send })));
      assert.deepEqual(received.match(/HTTP\/1\.1 \d+/g), [
        "HTTP/1.1 200",
        "HTTP/1.1 204",
        "HTTP/1.1 304",
        "HTTP/1.1 200",
      ]);
      assert.match(received, /content-length: 1000\r\n/);
    });

    test("Upgrade makes a tunnel", async () => {
      const head = `GET /socket HTTP/1.1\r\n${HOST}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n`;
      const { received, ended } = await script([
        { send: head },
        { waitFor: "welcome" },
        { send: "\x81\x05bytes" },
        { waitFor: "bytes" },
        "end",
      ]);
      assert.match(received, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
      assert.match(received, /connection: upgrade\r\n/i);
      assert.match(received, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
      assert.ok(received.endsWith("welcome\x81\x05bytes"), JSON.stringify(received));
      assert.equal(ended, true);
    });

    test("CONNECT is the server's to grant: a tunnel then, else an answer", async () => {
      const connect = { method: "CONNECT", version: "1.1" };
      const granted = await raw("HTTP/1.1 200 Connected\r\n\r\nraw \x00 bytes", "end", connect, [
        { waitFor: "bytes" },
        "end",
      ]);
      assert.ok(granted.received.endsWith("\r\n\r\nraw \x00 bytes"), JSON.stringify(granted.received));
      assert.deepEqual([granted.ended, granted.error], [true, ""]);
      const refused = await raw("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", "stay", connect, [
        { waitFor: "no" },
        "end",
      ]);
      assert.match(refused.received, /^HTTP\/1\.1 403 No\r\n.*no$/s);
    });

    test("HTTP/1.0 clients get what they understand", async () => {
      const { received, ended } = await script([{ send: `GET / HTTP/1.0\r\n${HOST}\r\n\r\n` }]);
      assert.match(received, /^HTTP\/1\.1 200 OK\r\n/);
      assert.doesNotMatch(received, /transfer-encoding/i);
      assert.ok(received.endsWith("hello from one\n"));
      assert.equal(ended, true);
    });

    test("an answer that ends with its connection ends so for the client", async () => {
      const { received, ended, error } = await raw("HTTP/1.1 200 OK\r\n\r\nall there is", "end", {
        method: "GET",
        version: "1.0",
      });
      assert.match(received, /^HTTP\/1\.1 200 OK\r\nconnection: close\r\n\r\nall there is$/);
      assert.deepEqual([ended, error], [true, ""]);
      // Between proxies it is framed: a broken connection must not pass for an end.
      const framed = await raw("HTTP/1.1 200 OK\r\n\r\nall there is", "end", undefined, [{ waitMs: 300 }, "end"]);
      assert.match(framed.received, /transfer-encoding: chunked\r\n\r\nc\r\nall there is\r\n0\r\n\r\n$/);
    });

    test("what is cut short is never taken for whole", async () => {
      const cases = [
        await raw("HTTP/1.1 200 OK\r\n\r\nnot all", "reset"),
        await raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nnot all", "end"),
        await raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\nnot all\r\n", "end"),
        await raw("HTTP/1.1 200 OK\r\n\r\nnot all", "reset", { method: "GET", version: "1.0" }),
      ];
      for (const { received, error, ended } of cases) {
        assert.match(received, /not all/);
        assert.deepEqual([error, ended], ["ECONNRESET", false]);
      }
    });

    test("a server that closes before it answers makes a 502 that says so", async () => {
      const { received } = await raw("", "end");
      assert.match(received, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
      assert.match(received, /connection: close\r\n/);
    });

    test("an answer that nobody can frame makes a 502", async () => {
      const bad = [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
        "nonsense\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
      ];
      for (const response of bad) {
        const { received } = await raw(response, "stay");
        assert.match(received, /^HTTP\/1\.1 502 Bad Gateway\r\n/, response);
      }
    });

    test("requests that smuggle are refused with 400", async () => {
      const bad = [
        `POST / HTTP/1.1\r\n${HOST}\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
        `POST / HTTP/1.1\r\n${HOST}\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nbody`,
        `POST / HTTP/1.1\r\n${HOST}\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}\r\nx: y\nz: a\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}\r\nx: y\r\n folded\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}\r\nname : value\r\n\r\n`,
        "GET / HTTP/1.1\r\nno-host: x\r\n\r\n",
        `GET / HTTP/1.1\r\n${HOST}\r\nhost: other\r\n\r\n`,
        `POST / HTTP/1.1\r\n${HOST}\r\ncontent-length: +4\r\n\r\nbody`,
        `POST / HTTP/1.1\r\n${HOST}\r\ntransfer-encoding: chunked\r\n\r\nfg\r\n`,
      ];
      for (const request of bad) {
        const { received } = await script([{ send: request }]);
        assert.match(received, /^HTTP\/1\.1 400 Bad Request\r\n/, JSON.stringify(request));
        assert.match(received, /l5d-proxy-error: /);
      }
      const huge = await script([{ send: `GET / HTTP/1.1\r\n${HOST}\r\nx: ${"y".repeat(70_000)}\r\n\r\n` }]);
      assert.match(huge.received, /^HTTP\/1\.1 431 /);
    });

    test("policy refuses with 403 and 404, and the connection goes on", async () => {
      const requests = ["/forbidden/door", "/nowhere", "/"].map((path, index) => {
        const close = index === 2 ? "connection: close\r\n" : "";
        return `GET ${path} HTTP/1.1\r\n${HOST}\r\n${close}\r\n`;
      });
      const { received } = await script([{ send: requests.join("") }]);
      assert.deepEqual(received.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 403", "HTTP/1.1 404", "HTTP/1.1 200"]);
      assert.equal(await sum(server.proxy, "inbound_http_authz_deny_total"), 1);
      assert.equal(await sum(server.proxy, "inbound_http_route_not_found_total"), 1);
    });

    test("a client that half-closes still gets its answer", async () => {
      const { received } = await script([{ send: `GET /slow?ms=200 HTTP/1.1\r\n${HOST}\r\n\r\n` }, "end"]);
      assert.match(received, /slow/);
    });

    test("nothing is left open", async () => {
      // The last client's connection, and pools' idle ones, end within their time-out.
      const deadline = Date.now() + 6_000;
      const open = async (): Promise<number> =>
        (await sum(client.proxy, "tcp_open_connections")) + (await sum(server.proxy, "tcp_open_connections"));
      while ((await open()) > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(await open(), 0);
    });
  });
}
