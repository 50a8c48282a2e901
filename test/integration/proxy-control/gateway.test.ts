/** A gateway as another cluster's proxies use it (reference 5.6, 9.11). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { TRANSPORT_PROTOCOL } from "../../../runtime/proxy/tls/mesh-tls.ts";
import { PROXY_IDENTITY } from "./support/clients.ts";
import { direct, write } from "./support/direct.ts";
import { InboundWorld, type Requester, requesterOn, type Version } from "./support/inbound-world.ts";
import { add, balancer, defaultServer, detectPolicy, everyone, opaquePolicy } from "./support/messages.ts";

const PEER = "gateway.linkerd-multicluster.serviceaccount.identity.linkerd.far.local";
const WEB = "web.shop.svc.cluster.local";

async function inWorld(run: (world: InboundWorld) => Promise<void>): Promise<void> {
  const world = new InboundWorld();
  try {
    await world.start({ gatewaySuffixes: ["svc.cluster.local"] });
    await world.setPolicy(world.proxyPort, defaultServer("entrance", [everyone("entrance")]));
    await run(world);
  } finally {
    world.stop();
  }
}

async function enter(world: InboundWorld, version: Version, name: string, port = 80): Promise<Requester> {
  const socket = await world.connect(undefined, PEER, TRANSPORT_PROTOCOL);
  await write(socket, direct(port, name, version === "HTTP/2" ? "http2" : "http1"));
  return requesterOn(version, socket);
}

for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
  describe(`a gateway over ${version}`, () => {
    it("leads requests to the Service they name, says whose they are, and lets none come twice", () =>
      inWorld(async (world) => {
        world.plane.policy(`${WEB}:80`).first = [detectPolicy(balancer(`${WEB}:80`))];
        world.plane.destination(`${WEB}:80`).first = [add([{ ip: "127.0.0.1", port: world.ports[version] }])];
        const client = await enter(world, version, WEB);
        const first = await client.ask("/", { headers: { "x-own": "1", "l5d-client-id": "admin" } });
        assert.equal(first.status, 200);
        const heard = JSON.parse(first.body) as Record<string, string>;
        assert.equal(heard["forwarded"], `by=${PROXY_IDENTITY};for=${PEER};host="${WEB}:80";proto=https`);
        assert.equal(heard["x-own"], "1");
        assert.equal(heard["l5d-client-id"], undefined);
        const elsewhere = await client.ask("/", { headers: { forwarded: "by=other;for=a" } });
        assert.equal(elsewhere.status, 200);
        const again = await enter(world, version, WEB);
        const looped = await again.ask("/", { headers: { forwarded: `for=a;by="${PROXY_IDENTITY}"` } });
        assert.equal(looped.status, 508);
        assert.equal(world.sum("inbound_http_errors_total", 'error="gateway loop"'), 1);
        assert.equal(world.sum("inbound_http_authz_allow_total", 'srv_name="entrance"', `client_id="${PEER}"`), 3);
        assert.equal(world.sum("inbound_tcp_transport_header_connections_total", `target_name="${WEB}"`), 2);
      }));

    it("is closed to whom the policy of the proxy's port does not let in", () =>
      inWorld(async (world) => {
        await world.setPolicy(world.proxyPort, defaultServer("shut", []));
        const client = await enter(world, version, WEB);
        assert.equal((await client.ask("/")).status, 403);
        assert.equal(world.sum("inbound_http_authz_deny_total", 'srv_name="shut"'), 1);
      }));

    it("leads nowhere else, and not to what nobody knows", () =>
      inWorld(async (world) => {
        const foreign = await enter(world, version, "web.shop.svc.elsewhere");
        assert.equal((await foreign.ask("/")).status, 404);
        assert.equal(world.sum("inbound_http_errors_total", 'error="gateway domain invalid"'), 1);
        const name = "none.shop.svc.cluster.local";
        world.plane.policy(`${name}:80`).first = [{ code: 5, details: "no such Service" }];
        world.plane.profile(`${name}:80`).first = [{ code: 5, details: "no such Service" }];
        const unknown = await enter(world, version, name);
        assert.equal((await unknown.ask("/")).status, 404);
      }));
  });
}

describe("a gateway", () => {
  it("leads HTTP/1 that comes over HTTP/2 to a server that speaks HTTP/1 alone", () =>
    inWorld(async (world) => {
      world.plane.policy(`${WEB}:80`).first = [detectPolicy(balancer(`${WEB}:80`))];
      world.plane.destination(`${WEB}:80`).first = [add([{ ip: "127.0.0.1", port: world.ports["HTTP/1.1"] }])];
      const client = await enter(world, "HTTP/2", WEB);
      const reply = await client.ask("/", { headers: { "l5d-orig-proto": "HTTP/1.1" } });
      assert.equal(reply.status, 200);
      const heard = JSON.parse(reply.body) as Record<string, string>;
      assert.match(heard["forwarded"] ?? "", /^by=/);
      assert.equal(heard["l5d-orig-proto"], undefined);
    }));
});

describe("a gateway of bytes", () => {
  it("leads connections to the Service they name, and tells when they are over", () =>
    inWorld(async (world) => {
      world.plane.policy(`${WEB}:5432`).first = [opaquePolicy(balancer(`${WEB}:5432`))];
      world.plane.destination(`${WEB}:5432`).first = [add([{ ip: "127.0.0.1", port: world.ports.echo }])];
      const socket = await world.connect(undefined, PEER, TRANSPORT_PROTOCOL);
      await write(socket, Buffer.concat([direct(5432, WEB, undefined), Buffer.from("early ")]));
      await write(socket, Buffer.from("late"));
      let text = "";
      while (text !== "early late") text += String((await once(socket, "data"))[0]);
      assert.equal(world.sum("inbound_tcp_authz_allow_total", 'srv_name="entrance"'), 1);
      socket.end();
      await once(socket, "close");
      assert.equal(world.sum("tcp_open_connections", 'direction="inbound"'), 0);
    }));
});
