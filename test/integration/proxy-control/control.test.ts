import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext } from "node:tls";
import { status } from "@grpc/grpc-js";
import { InboundServerPoliciesService, type Server } from "../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { StreamLimits } from "../../../runtime/proxy/config/config.ts";
import type { RpcError } from "../../../runtime/proxy/control/client.ts";
import { createGrpcClient } from "../../../runtime/proxy/control/grpc-client.ts";
import { Watch } from "../../../runtime/proxy/control/watch.ts";
import { createTestAuthority } from "./support/authority.ts";
import { type Clients, connect } from "./support/clients.ts";
import { CONTROLLER_IDENTITY, ControlPlane } from "./support/control-plane.ts";
import { defaultServer } from "./support/messages.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();
const PORT = 8080;

interface World {
  readonly plane: ControlPlane;
  readonly clients: Clients;
  readonly messages: { name: string; first: boolean }[];
  readonly errors: RpcError[];
}

/** Watches a port of a scripted control plane. */
async function watching(
  limits: StreamLimits,
  prepare: (plane: ControlPlane) => void,
  run: (world: World) => Promise<void>,
): Promise<void> {
  const plane = new ControlPlane({ authority });
  prepare(plane);
  const clients = await connect(plane);
  await clients.identity.ready;
  const messages: World["messages"] = [];
  const errors: RpcError[] = [];
  const watch = new Watch({
    client: clients.client(),
    method: InboundServerPoliciesService.watchPort,
    request: { workload: "shop:web", port: PORT },
    limits,
    onMessage: (server: Server, first) => messages.push({ name: server.labels["name"] ?? "", first }),
    onError: (error) => {
      errors.push(error);
      return "retry";
    },
  });
  try {
    await run({ plane, clients, messages, errors });
  } finally {
    watch.stop();
    clients.close();
  }
}

describe("a watch of the control plane", () => {
  it("is tried again with growing pauses while nothing comes within the initial time-out", () =>
    watching(
      { initialMs: 50 },
      () => undefined,
      async ({ plane, errors }) => {
        await sleep(2_000);
        const tries = plane.asked.ports.length;
        assert.ok(tries >= 3 && tries <= 8, `${tries} tries in 2 s`);
        assert.equal(errors[0]?.code, status.DEADLINE_EXCEEDED);
        assert.match(errors[0].message, /sent no first message within 50 ms/);
      },
    ));

  it("is renewed when idle and when old, without telling of an error", () =>
    watching(
      { initialMs: 100, idleMs: 250, lifetimeMs: 600 },
      (plane) => {
        plane.inbound(PORT).first = [defaultServer("a", [])];
      },
      async ({ plane, messages, errors }) => {
        await until("a renewal after silence", () => messages.length >= 2);
        assert.equal(plane.asked.ports.length, 2);
        assert.deepEqual(
          messages.map(({ first }) => first),
          [true, true],
        );
        const chatter = setInterval(() => plane.inbound(PORT).push(defaultServer("b", [])), 50);
        try {
          const before = plane.asked.ports.length;
          await until("a renewal for age", () => plane.asked.ports.length > before, 2_000);
        } finally {
          clearInterval(chatter);
        }
        assert.ok(messages.some(({ first, name }) => !first && name === "b"));
        assert.deepEqual(errors, []);
      },
    ));

  it("does not hurry where the server answers and closes at once, again and again", () =>
    watching(
      {},
      (plane) => {
        plane.inbound(PORT).first = [defaultServer("a", []), { code: status.INTERNAL, details: "in trouble" }];
      },
      async ({ plane }) => {
        await sleep(2_000);
        assert.ok(plane.asked.ports.length <= 6, `${plane.asked.ports.length} tries in 2 s`);
      },
    ));

  it("moves to a connection with the new certificate when that is renewed", async () => {
    const plane = new ControlPlane({ authority, leafLifeMs: 4_000 });
    plane.inbound(PORT).first = [defaultServer("a", [])];
    const clients = await connect(plane, { minRefreshMs: 10 });
    await clients.identity.ready;
    const client = createGrpcClient({
      address: { host: "127.0.0.1", port: plane.ports.services, serverName: CONTROLLER_IDENTITY },
      tls: clients.identity,
      observer: { started: () => undefined, ended: () => undefined },
      retireWithinMs: 100,
    });
    const errors: unknown[] = [];
    const watch = new Watch({
      client,
      method: InboundServerPoliciesService.watchPort,
      request: { workload: "shop:web", port: PORT },
      limits: {},
      onMessage: () => undefined,
      onError: (error) => {
        errors.push(error);
        return "retry";
      },
    });
    try {
      await until("the first stream", () => plane.asked.ports.length === 1);
      await until("a renewed certificate", () => plane.certified.length === 2);
      await until("another stream", () => plane.asked.ports.length >= 2, 1_500);
      assert.deepEqual(errors, []);
    } finally {
      watch.stop();
      client.close();
      clients.close();
    }
  });

  it("goes to nobody but the identity it was told", async () => {
    const plane = new ControlPlane({ authority });
    const clients = await connect(plane);
    await clients.identity.ready;
    const client = createGrpcClient({
      address: { host: "127.0.0.1", port: plane.ports.services, serverName: "somebody.else" },
      tls: clients.identity,
      observer: { started: () => undefined, ended: () => undefined },
    });
    try {
      const failure = await new Promise<RpcError | undefined>((resolve) => {
        client.stream(
          InboundServerPoliciesService.watchPort,
          { workload: "shop:web", port: PORT },
          { onMessage: () => resolve(undefined), onEnd: resolve },
        );
      });
      assert.equal(failure?.code, status.UNAVAILABLE);
      assert.match(failure.message, /altnames/);
    } finally {
      client.close();
      clients.close();
    }
  });

  it("leaves a control plane that cannot be reached alone for as long as the environment says", async () => {
    let dials = 0;
    const busy = createServer((socket) => {
      dials++;
      socket.destroy();
    });
    busy.listen(0, "127.0.0.1");
    await once(busy, "listening");
    const { port } = busy.address() as AddressInfo;
    const context = createSecureContext();
    const client = createGrpcClient({
      address: { host: "127.0.0.1", port, serverName: CONTROLLER_IDENTITY },
      tls: { context: () => context },
      observer: { started: () => undefined, ended: () => undefined },
      connectBackoff: { minMs: 400, maxMs: 400, jitter: 0 },
    });
    const ask = (): Promise<number> =>
      new Promise((resolve) => {
        client.stream(
          InboundServerPoliciesService.watchPort,
          { workload: "shop:web", port: PORT },
          { onMessage: () => undefined, onEnd: (error) => resolve(error?.code ?? 0) },
        );
      });
    try {
      const began = performance.now();
      while (performance.now() - began < 1_000) {
        assert.equal(await ask(), status.UNAVAILABLE);
        await sleep(10);
      }
      // At 0, 400 and 800 ms.
      assert.equal(dials, 3);
    } finally {
      client.close();
      busy.close();
    }
  });

  it("survives a user that does not understand what came", async () => {
    const plane = new ControlPlane({ authority });
    plane.inbound(PORT).first = [defaultServer("a", [])];
    const clients = await connect(plane);
    await clients.identity.ready;
    try {
      const failure = await new Promise<RpcError | undefined>((resolve) => {
        clients.client().stream(
          InboundServerPoliciesService.watchPort,
          { workload: "shop:web", port: PORT },
          {
            onMessage: () => {
              throw new Error("what is this?");
            },
            onEnd: resolve,
          },
        );
      });
      assert.equal(failure?.code, status.INTERNAL);
    } finally {
      clients.close();
    }
  });
});
