/** Connections of bytes on the outbound side: where routes, names and profiles lead them (reference 5.2, 5.3, 9.2). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { certificatePem, issueLeaf } from "../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../runtime/x509/keys.ts";
import { add, balancer, opaquePolicy } from "./support/messages.ts";
import { hear, inOutboundWorld, type OutboundWorld, pathOf, says } from "./support/outbound-world.ts";
import { bytesPolicy, opaqueRoute, policy, profile, route, rule, tlsPolicy, tlsRoute } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";

/** What a server says first on a connection through the proxy; empty: it was closed. */
async function greeting(world: OutboundWorld, first = ""): Promise<string> {
  const socket = await world.dial(first);
  const text = await hear(socket, "!").catch(() => "");
  socket.destroy();
  return text.slice(0, text.indexOf("!") + 1);
}

async function greetings(world: OutboundWorld, times: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let count = 0; count < times; count++) {
    const text = await greeting(world);
    counts[text] = (counts[text] ?? 0) + 1;
  }
  return counts;
}

describe("connections of bytes", () => {
  it("are shared by weight among backends that have endpoints", () =>
    inOutboundWorld(async (world) => {
      await world.serveBytes("a!", "a");
      await world.serveBytes("b!", "b");
      world.plane.destination(pathOf("none")).first = [add([])];
      world.plane.policy(TARGET).first = [bytesPolicy(opaqueRoute({ a: 8, b: 2, none: 10 }))];
      const { "a!": a = 0, "b!": b = 0, ...rest } = await greetings(world, 200);
      assert.deepEqual(rest, {});
      assert.ok(a > 130 && b > 15, `${a} ${b}`);
      assert.equal(world.sum("outbound_tcp_route_open_total", 'route_name="bytes"'), 200);
      assert.equal(world.sum("outbound_tcp_protocol_connections_total", 'protocol="opaq"', 'parent_name="web"'), 200);
    }));

  it("go where a profile's overrides say, and where the policy does without them", () =>
    inOutboundWorld(async (world) => {
      await world.serveBytes("web!", "web");
      await world.serveBytes("canary!", "canary");
      const dstOverrides = [
        { authority: pathOf("canary"), weight: 10_000, backendRef: undefined },
        { authority: pathOf("web"), weight: 0, backendRef: undefined },
      ];
      world.plane.policy(TARGET).first = [opaquePolicy(balancer(pathOf("web")))];
      world.plane.profile(TARGET).first = [profile({ dstOverrides })];
      assert.deepEqual(await greetings(world, 5), { "canary!": 5 });
      assert.equal(world.sum("outbound_tcp_route_open_total", 'route_name="serviceprofile"'), 5);
      world.plane.profile(TARGET).push(profile());
      await sleep(200);
      assert.deepEqual(await greetings(world, 5), { "web!": 5 });
    }));

  it("are what a profile says is opaque, whatever the policy would detect", () =>
    inOutboundWorld(async (world) => {
      await world.serveBytes("mail!", "web");
      await world.serve("HTTP/1.1", "other", says("other"));
      world.plane.policy(TARGET).first = [policy([route([rule("other")])])];
      world.plane.profile(TARGET).first = [profile({ opaqueProtocol: true })];
      const began = performance.now();
      assert.equal(await greeting(world), "mail!");
      assert.ok(performance.now() - began < 3_000, "nothing was waited for");
      const socket = await world.dial("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
      assert.match(await hear(socket, "\r\n\r\n"), /^mail!GET \/ HTTP/);
      assert.equal(world.sum("outbound_tcp_protocol_connections_total", 'protocol="opaq"'), 2);
    }));

  it("that are detected go by the routes of bytes, HTTP by its own", () =>
    inOutboundWorld(async (world) => {
      await world.serve("HTTP/1.1", "pages", says("page"));
      await world.serveBytes("bytes!", "raw");
      const told = policy([route([rule("pages")])]);
      const detect = told.protocol?.kind;
      assert.equal(detect?.$case, "detect");
      detect.value.opaque = { routes: [opaqueRoute(balancer(pathOf("raw")))] };
      world.plane.policy(TARGET).first = [told];
      assert.equal((await world.ask("HTTP/1.1", "/")).body, "page");
      assert.equal(await greeting(world, "\x00\x01\x02binary, and more of it than a first line\r\n"), "bytes!");
      assert.equal(world.sum("outbound_tcp_detect_http_results_total", 'result="http/1"'), 1);
      assert.equal(world.sum("outbound_tcp_detect_http_results_total", 'result="not_http"'), 1);
    }));
});

class Names {
  readonly #world: OutboundWorld;
  readonly #keys = generateKeyPair();

  constructor(world: OutboundWorld) {
    this.#world = world;
  }

  /** A server of TLS of the application's own, that says `name`. */
  async serve(name: string): Promise<void> {
    const { authority } = this.#world.plane;
    const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
    const leaf = issueLeaf(authority.issuer, { publicKey: this.#keys.publicKey, dnsNames: [name], ...validity });
    const key = privateKeyPem(this.#keys.privateKey);
    const server = createTlsServer({ key, cert: certificatePem(leaf) }, (socket) => {
      socket.on("error", () => undefined);
      socket.end(name);
    });
    const port = await this.#world.listen(server);
    this.#world.plane.destination(pathOf(name)).first = [add([{ ip: "127.0.0.1", port }])];
  }

  /** Who answers to a client that asks for `servername`; empty: nobody. */
  async ask(servername: string | undefined): Promise<string> {
    const socket = await this.#world.dial();
    const client: TLSSocket = connectTls({ socket, rejectUnauthorized: false, ...(servername && { servername }) });
    let text = "";
    client.on("data", (chunk) => {
      text += String(chunk);
    });
    client.on("error", () => undefined);
    await Promise.race([once(client, "end"), once(client, "close")]).catch(() => undefined);
    client.destroy();
    return text;
  }
}

describe("connections of TLS", () => {
  const routes = [
    tlsRoute(["*.example.com"], balancer(pathOf("any")), "any"),
    tlsRoute(["*.deep.example.com"], balancer(pathOf("deep")), "deep"),
    tlsRoute(["one.example.com", "uno.example.org"], balancer(pathOf("one")), "one"),
  ];

  async function withServers(world: OutboundWorld): Promise<Names> {
    const names = new Names(world);
    for (const name of ["any", "deep", "one"]) await names.serve(name);
    return names;
  }

  it("go by the name that they ask for: exact ones first, then the longest suffix", () =>
    inOutboundWorld(async (world) => {
      const names = await withServers(world);
      world.plane.policy(TARGET).first = [tlsPolicy(...routes)];
      assert.equal(await names.ask("one.example.com"), "one");
      assert.equal(await names.ask("UNO.example.org"), "one");
      assert.equal(await names.ask("two.example.com"), "any");
      assert.equal(await names.ask("a.deep.example.com"), "deep");
      assert.equal(await names.ask("a.b.deep.example.com"), "deep");
      assert.equal(await names.ask("deep.example.com"), "any");
      assert.equal(world.sum("outbound_tls_route_open_total", 'route_name="one"'), 2);
      assert.equal(world.sum("outbound_tls_route_close_total", 'route_name="deep"', 'error=""'), 2);
      assert.equal(world.sum("outbound_tcp_protocol_connections_total", 'protocol="tls"'), 6);
    }));

  it("are closed where no route has their name, or where they have none", () =>
    inOutboundWorld(async (world) => {
      const names = await withServers(world);
      world.plane.policy(TARGET).first = [tlsPolicy(...routes)];
      assert.equal(await names.ask("example.com"), "");
      assert.equal(await names.ask("one.example.org"), "");
      assert.equal(await names.ask(undefined), "");
    }));

  it("without a name, and bytes that are no TLS, are closed even where a route asks for no name", () =>
    inOutboundWorld(async (world) => {
      const names = await withServers(world);
      world.plane.policy(TARGET).first = [tlsPolicy(tlsRoute([], balancer(pathOf("any")), "all"))];
      assert.equal(await names.ask("whatever.example"), "any");
      assert.equal(await names.ask(undefined), "");
      await world.serveBytes("bytes!", "any");
      assert.equal(await greeting(world, "GET / HTTP/1.1\r\n\r\n"), "");
      assert.ok(world.log.some((line) => /no TLS|no name/.test(line)));
    }));

  it("are shared by weight", () =>
    inOutboundWorld(async (world) => {
      const names = await withServers(world);
      world.plane.policy(TARGET).first = [tlsPolicy(tlsRoute(["*.example.com"], { one: 1, any: 1 }))];
      const heard = new Set<string>();
      for (let count = 0; count < 20; count++) heard.add(await names.ask("a.example.com"));
      assert.deepEqual([...heard].sort(), ["any", "one"]);
    }));
});
