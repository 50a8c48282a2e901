/** Protocols that are not HTTP/1, through redirect, two proxies and mTLS. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { curl, endpoint, type MeshedPod, PORTS, play, SERVICE_IP, sum, TestMesh } from "./support/mesh.ts";
import type { Pod } from "./support/pods.ts";

const IPS = {
  opaque: SERVICE_IP,
  greeter: "10.96.0.11",
  http2: "10.96.0.12",
  header: "10.96.0.13",
  http1: "10.96.0.14",
} as const;

describe("TCP between two meshed pods", () => {
  const mesh = new TestMesh();
  let client: MeshedPod;
  let server: MeshedPod;
  /** Without a proxy. */
  let stranger: Pod;

  before(async () => {
    server = await mesh.add("server", {
      policies: {
        [PORTS.opaque]: { protocol: "opaque" },
        [PORTS.greeter]: { detectTimeoutMs: 400 },
        [PORTS.meshedOnly]: { protocol: "opaque", meshedOnly: true },
        [PORTS.http]: { protocol: "http1", detectTimeoutMs: 0 },
      },
    });
    await mesh.startApplication(server, "one");
    const targets = {
      [`${IPS.opaque}:5432`]: { protocol: "opaque", endpoints: [endpoint(server, PORTS.opaque)] },
      [`${IPS.opaque}:443`]: { endpoints: [endpoint(server, PORTS.opaque)] },
      [`${IPS.greeter}:25`]: {
        detectTimeoutMs: 400,
        endpoints: [endpoint(server, PORTS.greeter, { proxyPort: false })],
      },
      [`${IPS.http2}:80`]: { endpoints: [endpoint(server, PORTS.http2)] },
      [`${IPS.http1}:80`]: { protocol: "http1", endpoints: [endpoint(server, PORTS.http, { proxyPort: false })] },
      [`${IPS.header}:80`]: { protocol: "opaque", endpoints: [endpoint(server, PORTS.meshedOnly)] },
    } as const;
    client = await mesh.add("client", { targets });
    stranger = mesh.pods.add();
  });
  after(() => mesh.remove());

  test("a server that speaks first is heard at once on an opaque port, half-close included", async () => {
    const steps = [{ waitFor: "hello" }, { send: "ping" }, { waitFor: "ping" }, "end"] as const;
    const result = await play(client.pod, { ip: IPS.opaque, port: 5432, steps });
    assert.equal(result.received, "220 hello\r\npingbye\r\n");
    assert.equal(result.ended, true);
    assert.equal(result.error, "");
    assert.ok(result.firstByteMs < 300, `the greeting took ${result.firstByteMs} ms`);
    assert.equal(
      await sum(server.proxy, "tcp_open_total", 'peer="src"', 'tls="true"', `client_id="${client.credentials.name}"`),
      1,
    );
    assert.equal(await sum(server.proxy, "tcp_open_connections"), 0);
    assert.equal(await sum(client.proxy, "tcp_read_bytes_total", 'peer="dst"'), "220 hello\r\npingbye\r\n".length);
  });

  test("elsewhere it is heard after the detection's time-out, in plain and meshed", async () => {
    const steps = [{ waitFor: "hello" }, "end"] as const;
    for (const pod of [client.pod, stranger]) {
      const ip = pod === client.pod ? IPS.greeter : server.pod.ip;
      const port = pod === client.pod ? 25 : PORTS.greeter;
      const result = await play(pod, { ip, port, steps });
      assert.equal(result.received, "220 hello\r\nbye\r\n");
      assert.ok(result.firstByteMs >= 390, `the greeting came after ${result.firstByteMs} ms`);
    }
  });

  test("HTTP/2 by prior knowledge is relayed, request by request", async () => {
    assert.equal(await curl(client.pod, "--http2-prior-knowledge", `http://${IPS.http2}/`), "hello over HTTP/2\n");
  });

  test("where policy says HTTP/1 nothing is detected, however long the client is silent", async () => {
    const steps = [{ waitMs: 300 }, { send: "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" }] as const;
    for (const [pod, ip, port] of [
      [client.pod, IPS.http1, 80],
      [stranger, server.pod.ip, PORTS.http],
    ] as const) {
      const { received } = await play(pod, { ip, port, steps });
      assert.match(received, /^HTTP\/1\.1 200 OK\r\n.*hello from one\n$/s);
    }
    assert.equal(await sum(server.proxy, "request_total", `srv_port="${PORTS.http}"`), 2);
  });

  test("a handshake that stalls past the detection's time-out harms nobody", async () => {
    // The first flight of a real client for this proxy's name, and then nothing.
    const hello = await clientHello(server.credentials.name);
    const steps = [{ send: hello.toString("latin1") }, { waitMs: 900 }, "end"] as const;
    const stalled = await play(stranger, { ip: server.pod.ip, port: PORTS.greeter, steps, timeoutMs: 1_500 });
    // The server's own flight, and no application's greeting.
    assert.equal(stalled.received.charCodeAt(0), 0x16);
    assert.doesNotMatch(stalled.received, /220 hello/);
    const after = await play(client.pod, { ip: IPS.opaque, port: 5432, steps: [{ waitFor: "hello" }, "end"] });
    assert.equal(after.received, "220 hello\r\nbye\r\n");
  });

  test("TLS of the application's own goes through untouched, at once, and its name is told", async () => {
    const hello = (await clientHello("Shop.Example")).toString("latin1");
    const steps = [{ send: hello.slice(0, 90) }, { waitMs: 50 }, { send: hello.slice(90) }, "end"] as const;
    const { received, firstByteMs } = await play(client.pod, { ip: IPS.opaque, port: 443, steps });
    assert.equal(received, `220 hello\r\n${hello}bye\r\n`);
    assert.ok(firstByteMs < 1_000, `no time-out was waited for: ${firstByteMs} ms`);
    assert.equal(
      await sum(client.proxy, "tcp_open_total", 'direction="outbound"', 'tls="opaque"', 'sni="shop.example"'),
      1,
    );
  });

  test("a port for meshed clients takes those with a certificate and refuses others", async () => {
    const allowed = await play(client.pod, { ip: IPS.header, port: 80, steps: [{ waitFor: "hello" }, "end"] });
    assert.equal(allowed.received, "220 hello\r\nbye\r\n");
    const refused = await play(stranger, {
      ip: server.pod.ip,
      port: PORTS.meshedOnly,
      steps: [{ waitFor: "hello" }],
    });
    assert.equal(refused.received, "");
    assert.equal(await sum(server.proxy, "inbound_tcp_authz_deny_total", `srv_port="${PORTS.meshedOnly}"`), 1);
  });
});

/** What node:tls sends first to a server of this name. */
function clientHello(servername: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const listener = createServer((socket) => {
      socket.once("data", (hello) => {
        socket.destroy();
        listener.close();
        resolve(hello);
      });
    });
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address() as { port: number };
      tlsConnect({ host: "127.0.0.1", port, servername }).on("error", () => undefined);
    });
  });
}
