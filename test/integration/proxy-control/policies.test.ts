import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import type { Server } from "../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { RequestHead } from "../../../runtime/proxy/http/request-head.ts";
import type { Client } from "../../../runtime/proxy/policy/inbound.ts";
import { WatchedInboundPolicies } from "../../../runtime/proxy/policy/inbound-policies.ts";
import { createTestAuthority } from "./support/authority.ts";
import { connect, silent } from "./support/clients.ts";
import { ControlPlane } from "./support/control-plane.ts";
import { defaultServer, everyone } from "./support/messages.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();
const plain: Client = { address: "10.1.2.3", tls: "none" };
const get = (path: string): RequestHead => ({
  method: "GET",
  scheme: "http",
  authority: "web",
  path,
  query: "",
  version: "HTTP/1.1",
  grpc: false,
  header: () => undefined,
  headers: () => [],
});

async function world(
  run: (plane: ControlPlane, policies: WatchedInboundPolicies) => Promise<void>,
  options: { ports?: number[]; idleMs?: number; first?: Server } = {},
): Promise<void> {
  const plane = new ControlPlane({ authority });
  if (options.first !== undefined) plane.inbound(8080).first = [options.first];
  const clients = await connect(plane);
  await clients.identity.ready;
  const policies = new WatchedInboundPolicies({
    client: clients.client(),
    workload: '{"ns":"shop", "pod":"web-1"}',
    limits: { initialMs: 1_000, idleMs: 60_000, lifetimeMs: 3_600_000 },
    defaults: { policy: "all-unauthenticated", clusterNetworks: [], opaquePorts: [], detectTimeoutMs: 10_000 },
    ports: options.ports ?? [],
    idleMs: options.idleMs ?? 90_000,
    log: silent,
  });
  try {
    await run(plane, policies);
  } finally {
    policies.close();
    clients.close();
  }
}

const nameOf = (policies: WatchedInboundPolicies, port: number): string | undefined =>
  policies.port(port).labels.find(([name]) => name === "srv_name")?.[1];

describe("inbound policies", () => {
  it("are the environment's default until the controller speaks, then the controller's, and change with it", () =>
    world(
      async (plane, policies) => {
        assert.equal(nameOf(policies, 8080), "all-unauthenticated");
        await until("the eager port", () => plane.asked.ports.includes(8080));
        plane.inbound(8080).push(defaultServer("strict", []));
        await until("the controller's", () => nameOf(policies, 8080) === "strict");
        const strict = policies.port(8080);
        assert.equal(strict.route(get("/"))?.authorize(plain), undefined);
        const probe = strict.route(get("/healthz"));
        assert.equal(probe?.name, "probe");
        assert.ok(probe.authorize(plain));
        plane.inbound(8080).push(defaultServer("open", [everyone("open")]));
        await until("the change", () => nameOf(policies, 8080) === "open");
        assert.ok(policies.port(8080).route(get("/"))?.authorize(plain));
        // What somebody holds does not change under him.
        assert.equal(strict.route(get("/"))?.authorize(plain), undefined);
      },
      { ports: [8080] },
    ));

  it("are watched from first use for other ports, and no longer once unused", () =>
    world(
      async (plane, policies) => {
        assert.equal(nameOf(policies, 9000), "all-unauthenticated");
        await until("a lazy watch", () => plane.asked.ports.includes(9000));
        plane.inbound(9000).push(defaultServer("lazy", []));
        await until("its policy", () => nameOf(policies, 9000) === "lazy");
        await until("its end", () => plane.inbound(9000).open.size === 0);
        assert.equal(plane.inbound(8080).open.size, 1, "eager ports stay");
      },
      {
        ports: [8080],
        idleMs: 200,
        first: defaultServer("eager", []),
      },
    ));

  it("stay the same objects where the controller says the same again", () =>
    world(
      async (plane, policies) => {
        await until("strict", () => nameOf(policies, 8080) === "strict");
        const strict = policies.port(8080);
        let changes = 0;
        policies.follow(8080, () => changes++);
        plane.inbound(8080).push(defaultServer("strict", []));
        plane.inbound(8080).push(defaultServer("open", [everyone("open")]));
        await until("open", () => nameOf(policies, 8080) === "open");
        assert.equal(changes, 1);
        assert.notEqual(policies.port(8080), strict);
      },
      { ports: [8080], first: defaultServer("strict", []) },
    ));

  it("of a port that somebody follows are watched however long nobody asks, and no longer than that", () =>
    world(
      async (plane, policies) => {
        const heard: string[] = [];
        const unfollow = policies.follow(9000, ({ labels }) => heard.push(labels[2]?.[1] ?? "?"));
        await until("a watch", () => plane.inbound(9000).open.size === 1);
        await sleep(500);
        assert.equal(plane.inbound(9000).open.size, 1);
        plane.inbound(9000).push(defaultServer("late", []));
        await until("the change", () => heard.includes("late"));
        unfollow();
        await until("its end", () => plane.inbound(9000).open.size === 0);
      },
      { idleMs: 150 },
    ));

  it("stay while the controller is away, and are asked for again where it did not know the pod yet", () =>
    world(
      async (plane, policies) => {
        await until("strict", () => nameOf(policies, 8080) === "strict");
        plane.stop();
        await sleep(300);
        assert.equal(nameOf(policies, 8080), "strict");
        plane.inbound(8080).first = [{ code: status.NOT_FOUND, details: "unknown server" }];
        await plane.start();
        const before = plane.asked.ports.length;
        await until("two more questions", () => plane.asked.ports.length >= before + 2, 20_000);
        assert.equal(nameOf(policies, 8080), "strict");
        plane.inbound(8080).first = [defaultServer("later", [])];
        await until("the answer", () => nameOf(policies, 8080) === "later", 20_000);
      },
      { ports: [8080], first: defaultServer("strict", []) },
    ));

  it("that are none (no protocol) change nothing, and InvalidArgument is final", () =>
    world(
      async (plane, policies) => {
        await until("strict", () => nameOf(policies, 8080) === "strict");
        plane.inbound(8080).push({ protocol: undefined, serverIps: [], authorizations: [], labels: {} });
        plane.inbound(8080).push({ code: status.INVALID_ARGUMENT, details: "bad token" });
        await until("the end", () => plane.inbound(8080).open.size === 0);
        const asked = plane.asked.ports.length;
        await sleep(400);
        assert.equal(plane.asked.ports.length, asked);
        assert.equal(nameOf(policies, 8080), "strict");
      },
      { ports: [8080], first: defaultServer("strict", []) },
    ));
});
