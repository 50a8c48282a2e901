/** A control plane of two replicas behind one name: what a proxy does when one of them dies. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Answer } from "dns-packet";
import { InboundServerPoliciesService, type Server } from "../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { RpcError } from "../../../runtime/proxy/control/client.ts";
import { createGrpcClient } from "../../../runtime/proxy/control/grpc-client.ts";
import { Resolver } from "../../../runtime/proxy/control/resolver.ts";
import { Watch } from "../../../runtime/proxy/control/watch.ts";
import { createTestAuthority } from "./support/authority.ts";
import { connect } from "./support/clients.ts";
import { CONTROLLER_IDENTITY, ControlPlane } from "./support/control-plane.ts";
import { DnsServer, headless } from "./support/dns-server.ts";
import { defaultServer } from "./support/messages.ts";
import { startProxyProcess } from "./support/proxy-process.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();
const SERVICES = "weft-policy.weft.svc.cluster.local";
const IDENTITY = "weft-identity.weft.svc.cluster.local";
const DNS_IP = "127.0.0.153";
const PORT = 8080;

interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

function plane(host: string): ControlPlane {
  const made = new ControlPlane({ authority, host });
  made.inbound(PORT).first = [defaultServer(host, [])];
  return made;
}

/** Watches a port at the servers behind {@link SERVICES}. */
async function watching(
  endpoints: readonly Endpoint[],
  identity: ControlPlane,
  run: (messages: string[], errors: RpcError[]) => Promise<void>,
): Promise<void> {
  const records = new Map<string, readonly Answer[]>([[`SRV ${SERVICES}`, headless(SERVICES, endpoints)]]);
  const dns = await new DnsServer({ records }).start();
  const folder = mkdtempSync(join(tmpdir(), "weft-replicas-"));
  const configFile = join(folder, "resolv.conf");
  writeFileSync(configFile, "nameserver 127.0.0.1\n");
  const clients = await connect(identity);
  await clients.identity.ready;
  const client = createGrpcClient({
    address: { host: `${SERVICES}.`, port: PORT, serverName: CONTROLLER_IDENTITY },
    tls: clients.identity,
    observer: { started: () => undefined, ended: () => undefined },
    resolver: new Resolver({ configFile, hostsFile: "/nowhere", serverPort: dns.port }),
  });
  const messages: string[] = [];
  const errors: RpcError[] = [];
  const watch = new Watch({
    client,
    method: InboundServerPoliciesService.watchPort,
    request: { workload: "shop:web", port: PORT },
    limits: {},
    onMessage: (server: Server) => messages.push(server.labels["name"] ?? ""),
    onError: (error) => {
      errors.push(error);
      return "retry";
    },
  });
  try {
    await run(messages, errors);
  } finally {
    watch.stop();
    client.close();
    clients.close();
    dns.close();
    rmSync(folder, { recursive: true });
  }
}

describe("a control plane of two replicas", () => {
  it("is watched at the other one when one dies, and at the first again when that is alone", async () => {
    const [a, b] = [plane("127.0.0.1"), plane("127.0.0.2")];
    const endpoints = [
      { ip: "127.0.0.1", port: (await a.start()).services },
      { ip: "127.0.0.2", port: (await b.start()).services },
    ];
    try {
      await watching(endpoints, new ControlPlane({ authority }), async (messages) => {
        await until("the first word", () => messages.length === 1);
        const [first, second] = messages[0] === "127.0.0.1" ? [a, b] : [b, a];
        first.stop();
        await until("the other's word", () => messages.length === 2, 2_000);
        assert.notEqual(messages[1], messages[0]);
        await first.start();
        second.stop();
        await until("the first one's word again", () => messages.length === 3, 4_000);
        assert.equal(messages[2], messages[0]);
      });
    } finally {
      a.stop();
      b.stop();
    }
  });

  it("is watched at the one that answers where the other takes connections and says nothing", async () => {
    const alive = plane("127.0.0.1");
    const held = new Set<Socket>();
    const mute = createServer((socket) => held.add(socket)).listen(0, "127.0.0.2");
    await once(mute, "listening");
    const { port } = mute.address() as AddressInfo;
    const endpoints = [
      { ip: "127.0.0.2", port },
      { ip: "127.0.0.1", port: (await alive.start()).services },
    ];
    try {
      // At random, as clients come: several of them meet the mute one first.
      for (let count = 0; count < 3; count++) {
        await watching(endpoints, new ControlPlane({ authority }), async (messages, errors) => {
          await until("a word", () => messages.length > 0, 8_000);
          assert.deepEqual(errors, [], "no call failed for it");
        });
      }
    } finally {
      mute.close();
      for (const socket of held) socket.destroy();
      alive.stop();
    }
  });

  it("serves a proxy that finds it by name, for as long as one of them lives", async (context) => {
    if (process.getuid?.() !== 0) {
      context.skip("root mounts another resolv.conf");
      return;
    }
    const planes = [plane("127.0.0.1"), plane("127.0.0.2")];
    const endpoints = await Promise.all(
      planes.map(async (each, index) => ({ ip: `127.0.0.${index + 1}`, ...(await each.start()) })),
    );
    const of = (kind: "identity" | "services"): Endpoint[] =>
      endpoints.map(({ ip, ...ports }) => ({ ip, port: ports[kind] }));
    const records = new Map<string, readonly Answer[]>([
      [`SRV ${SERVICES}`, headless(SERVICES, of("services"))],
      [`SRV ${IDENTITY}`, headless(IDENTITY, of("identity"))],
    ]);
    const dns = await new DnsServer({ records, host: DNS_IP, port: 53 }).start();
    const folder = mkdtempSync(join(tmpdir(), "weft-replicas-"));
    const resolvConf = join(folder, "resolv.conf");
    writeFileSync(resolvConf, `nameserver ${DNS_IP}\n`);
    const proxy = startProxyProcess(
      { identity: 1, services: 1 },
      authority,
      {
        LINKERD2_PROXY_IDENTITY_SVC_ADDR: `${IDENTITY}.:8080`,
        LINKERD2_PROXY_DESTINATION_SVC_ADDR: `${SERVICES}.:8086`,
        LINKERD2_PROXY_POLICY_SVC_ADDR: `${SERVICES}.:8090`,
        LINKERD2_PROXY_INBOUND_PORTS: String(PORT),
      },
      { resolvConf },
    );
    try {
      const admin = await proxy.admin();
      await until("readiness", () => proxy.output().includes("ready in"), 10_000);
      await until("a watched port", () => planes.some(({ asked }) => asked.ports.includes(PORT)));
      const servers = async (client: string): Promise<string[]> => {
        const text = await (await fetch(`${admin}/metrics?families=control_${client}_balancer_endpoints`)).text();
        return [...text.matchAll(/endpoint_state="(\w+)"\} (\d)/g)].map(([, state, count]) => `${state} ${count}`);
      };
      assert.deepEqual(await servers("policy"), ["pending 1", "ready 1"]);
      const [dead, alive] = planes[0]?.asked.ports.includes(PORT) ? planes : planes.toReversed();
      assert.ok(dead !== undefined && alive !== undefined);
      assert.deepEqual(alive.asked.ports, []);
      dead.stop();
      await until("the other one's watches", () => alive.asked.ports.includes(PORT), 3_000);
      assert.deepEqual(await servers("policy"), ["pending 1", "ready 1"]);
      // Nobody has asked for a destination.
      assert.deepEqual(await servers("destination"), ["pending 0", "ready 0"]);
      assert.equal((await fetch(`${admin}/ready`)).status, 200);
      const text = await (await fetch(`${admin}/metrics?families=control_dns_resolutions_total`)).text();
      for (const client of ["identity", "policy"]) {
        const line = `control_dns_resolutions_total{client="${client}",record_type="SRV",result="ok"} `;
        const [, count = "0"] = text.split(line);
        assert.ok(Number.parseInt(count, 10) >= 1, text);
      }
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${proxy.output()}`, { cause: error });
    } finally {
      await proxy.stop();
      dns.close();
      for (const each of planes) each.stop();
      rmSync(folder, { recursive: true });
    }
  });
});
