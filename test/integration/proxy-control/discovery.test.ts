import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { Discovery } from "../../../runtime/proxy/outbound/discovery.ts";
import type { EndpointSource, OutboundTarget } from "../../../runtime/proxy/outbound/target.ts";
import { parseNetwork } from "../../../runtime/proxy/policy/networks.ts";
import { createTestAuthority } from "./support/authority.ts";
import { type Clients, connect, silent } from "./support/clients.ts";
import { ControlPlane } from "./support/control-plane.ts";
import {
  add,
  balancer,
  detectPolicy,
  forward,
  noEndpoints,
  opaquePolicy,
  remove,
  weightedAddr,
} from "./support/messages.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();
const PATH = "web.shop.svc.cluster.local:80";
const WORKLOAD = '{"ns":"shop", "pod":"client-1"}';
const service = { namespace: "shop", name: "web", port: 80 };
const first = { ip: "10.1.0.1", port: 8080, identity: "web.shop.serviceaccount.identity.weft.cluster.local" };
const second = { ip: "10.1.0.2", port: 8080 };
const third = { ip: "10.1.0.3", port: 8080 };

interface World {
  readonly plane: ControlPlane;
  readonly clients: Clients;
  readonly discovery: Discovery;
}

async function world(
  run: (world: World) => Promise<void>,
  options: { answerWithinMs?: number; idleMs?: number } = {},
): Promise<void> {
  const plane = new ControlPlane({ authority });
  const clients = await connect(plane);
  await clients.identity.ready;
  const discovery = new Discovery({
    policyClient: clients.client(),
    destinationClient: clients.client(),
    policy: { workload: WORKLOAD },
    destination: { context: '{"ns":"shop"}', profileNetworks: [parseNetwork("10.0.0.0/8")] },
    streams: { initialMs: options.answerWithinMs ?? 2_000, idleMs: 60_000, lifetimeMs: 3_600_000 },
    outbound: { discoveryIdleMs: options.idleMs ?? 5_000, detectTimeoutMs: 10_000 },
    log: silent,
  });
  try {
    await run({ plane, clients, discovery });
  } finally {
    discovery.close();
    clients.close();
  }
}

function sourceOf(target: OutboundTarget): EndpointSource {
  assert.equal(target.backend.kind, "balancer");
  return target.backend.source;
}

describe("discovery", () => {
  it("leads a Service's address to its endpoints, with all that the proxy needs of them", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
      plane.destination(PATH).first = [
        add([{ ...first, proxyPort: 4143, labels: { pod: "web-1", deployment: "web" } }], {
          service: "web",
          namespace: "shop",
        }),
      ];
      const target = await discovery.acquire("10.96.0.1", 80);
      assert.equal(target.protocol, "detect");
      assert.equal(target.detectTimeoutMs, 10_000);
      assert.deepEqual(Object.fromEntries(target.labels), {
        parent_group: "core",
        parent_kind: "Service",
        parent_namespace: "shop",
        parent_name: "web",
        parent_port: "80",
        parent_section_name: "",
      });
      assert.equal(target.backend.kind, "balancer");
      assert.deepEqual(target.backend.parameters, {
        defaultRttMs: 30,
        decayMs: 10_000,
        queueCapacity: 100,
        failfastTimeoutMs: 3_000,
      });
      assert.deepEqual(
        [...sourceOf(target).endpoints.values()],
        [
          {
            address: "10.1.0.1:8080",
            ip: "10.1.0.1",
            port: 8080,
            tls: { identity: first.identity, serverName: first.identity },
            proxyPort: 4143,
            labels: [
              ["dst_deployment", "web"],
              ["dst_namespace", "shop"],
              ["dst_pod", "web-1"],
              ["dst_service", "web"],
            ],
          },
        ],
      );
      // Known now: no waiting.
      assert.equal(discovery.acquire("10.96.0.1", 80), target);
      assert.deepEqual(plane.asked.profiles, ["10.96.0.1:80"]);
    }));

  it("applies differences as they come, and tells whom it concerns", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
      plane.destination(PATH).first = [add([first, second])];
      const source = sourceOf(await discovery.acquire("10.96.0.1", 80));
      const changes: string[] = [];
      source.subscribe(({ added, removed }) => {
        changes.push(`+${added.map(({ address }) => address)} -${removed}`);
      });
      plane.destination(PATH).push(add([third]));
      plane.destination(PATH).push(remove([first]));
      plane.destination(PATH).push(add([second]));
      plane.destination(PATH).push(noEndpoints(true));
      await until("emptiness", () => source.state === "empty");
      assert.deepEqual(changes, ["+10.1.0.3:8080 -", "+ -10.1.0.1:8080", "+ -10.1.0.2:8080,10.1.0.3:8080"]);
      plane.destination(PATH).push(add([first]));
      await until("an endpoint again", () => source.state === "ready");
    }));

  it("keeps its endpoints while the controller is away, and takes only the difference when it is back", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
      plane.destination(PATH).first = [add([first, second])];
      const target = await discovery.acquire("10.96.0.1", 80);
      const source = sourceOf(target);
      const changes: string[] = [];
      let fewest = 2;
      source.subscribe(({ added, removed }) => {
        changes.push(`+${added.map(({ address }) => address)} -${removed}`);
        fewest = Math.min(fewest, source.endpoints.size);
      });
      plane.stop();
      await sleep(300);
      assert.equal(source.endpoints.size, 2);
      assert.equal(await discovery.acquire("10.96.0.1", 80), target);
      plane.destination(PATH).first = [add([second, third])];
      await plane.start();
      await until("the new state", () => source.endpoints.has("10.1.0.3:8080"), 20_000);
      assert.deepEqual(changes, ["+10.1.0.3:8080 -10.1.0.1:8080"]);
      assert.equal(fewest, 2);
      // The same policy anew is the same target: whoever holds something by it goes on.
      await until("the policy again", () => plane.asked.policies.length >= 2);
      assert.equal(await discovery.acquire("10.96.0.1", 80), target);
    }));

  it("goes to the address itself when the controller does not answer, at once when it is known to be away", () =>
    world(
      async ({ plane, discovery }) => {
        plane.stop();
        const began = performance.now();
        const target = await discovery.acquire("10.96.0.9", 80);
        const waited = performance.now() - began;
        assert.ok(waited > 250 && waited < 1_500, `${waited} ms`);
        assert.deepEqual(target.backend, {
          kind: "forward",
          endpoint: { address: "10.96.0.9:80", ip: "10.96.0.9", port: 80, labels: [] },
        });
        await sleep(400);
        assert.ok(!(discovery.acquire("10.96.0.10", 80) instanceof Promise), "nobody waits for who is not there");
        plane.policy("10.96.0.9:80").first = [detectPolicy(balancer(PATH), service)];
        plane.destination(PATH).first = [add([first])];
        await plane.start();
        await until(
          "the real target",
          () => {
            const now = discovery.acquire("10.96.0.9", 80);
            return !(now instanceof Promise) && now.backend.kind === "balancer";
          },
          20_000,
        );
      },
      { answerWithinMs: 300 },
    ));

  it("waits for the answer about one target although that about another does not come", () =>
    world(
      async ({ plane, discovery }) => {
        // Nothing is told about it, ever.
        assert.equal((await discovery.acquire("10.96.0.9", 80)).backend.kind, "forward");
        await sleep(700);
        plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
        plane.destination(PATH).first = [add([first])];
        assert.equal((await discovery.acquire("10.96.0.1", 80)).backend.kind, "balancer");
      },
      { answerWithinMs: 300 },
    ));

  it("forgets an unused target after the idle time, and none while there is nobody to ask again", () =>
    world(
      async ({ plane, discovery }) => {
        plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
        plane.destination(PATH).first = [add([first])];
        await discovery.acquire("10.96.0.1", 80);
        await discovery.acquire("10.96.0.1", 80);
        discovery.release("10.96.0.1", 80);
        await sleep(150);
        assert.equal(plane.policy("10.96.0.1:80").open.size, 1, "somebody still uses it");
        discovery.release("10.96.0.1", 80);
        await until(
          "the end of both streams",
          () => plane.policy("10.96.0.1:80").open.size + plane.destination(PATH).open.size === 0,
        );
        const again = await discovery.acquire("10.96.0.1", 80);
        assert.equal(plane.asked.policies.length, 2);
        plane.stop();
        discovery.release("10.96.0.1", 80);
        await sleep(300);
        assert.equal(discovery.acquire("10.96.0.1", 80), again);
      },
      { idleMs: 60 },
    ));

  it("goes by what it knew before where the controller, found again, says nothing", () =>
    world(
      async ({ plane, discovery }) => {
        plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
        plane.destination(PATH).first = [add([first])];
        await discovery.acquire("10.96.0.1", 80);
        discovery.release("10.96.0.1", 80);
        await until("the end of its streams", () => plane.policy("10.96.0.1:80").open.size === 0);
        plane.policy("10.96.0.1:80").first = [];
        for (let round = 0; round < 2; round++) {
          const target = await discovery.acquire("10.96.0.1", 80);
          assert.deepEqual([...sourceOf(target).endpoints.keys()], ["10.1.0.1:8080"]);
          discovery.release("10.96.0.1", 80);
          await sleep(200);
        }
      },
      { idleMs: 60, answerWithinMs: 150 },
    ));

  it("asks for a profile where the policy only forwards, within the networks that have profiles", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.1.0.1:8080").first = [detectPolicy(forward({ ip: "10.1.0.1", port: 8080 }))];
      plane.profile("10.1.0.1:8080").first = [
        {
          fullyQualifiedName: "",
          opaqueProtocol: false,
          routes: [],
          retryBudget: undefined,
          dstOverrides: [],
          endpoint: weightedAddr(first),
          parentRef: undefined,
          profileRef: undefined,
        },
      ];
      const pod = await discovery.acquire("10.1.0.1", 8080);
      assert.equal(pod.backend.kind, "forward");
      assert.equal(pod.backend.endpoint.tls?.identity, first.identity);
      plane.policy("93.184.216.34:443").first = [detectPolicy(forward({ ip: "93.184.216.34", port: 443 }))];
      const outside = await discovery.acquire("93.184.216.34", 443);
      assert.equal(outside.backend.kind, "forward");
      assert.deepEqual(plane.asked.profiles, ["10.1.0.1:8080"]);
    }));

  it("builds on the profile alone where there is no policy", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.96.0.1:80").first = [{ code: status.NOT_FOUND, details: "no policy" }];
      plane.profile("10.96.0.1:80").first = [
        {
          fullyQualifiedName: "web.shop.svc.cluster.local",
          opaqueProtocol: true,
          routes: [],
          retryBudget: undefined,
          dstOverrides: [],
          endpoint: undefined,
          parentRef: undefined,
          profileRef: undefined,
        },
      ];
      plane.destination(PATH).first = [add([first])];
      const target = await discovery.acquire("10.96.0.1", 80);
      assert.equal(target.protocol, "opaque");
      assert.equal(sourceOf(target).endpoints.size, 1);
    }));

  it("goes to the address itself where the authority is no service (any more)", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.96.0.1:80").first = [detectPolicy(balancer(PATH), service)];
      plane.destination(PATH).first = [{ code: status.NOT_FOUND, details: "no such service" }];
      assert.equal((await discovery.acquire("10.96.0.1", 80)).backend.kind, "forward");
      plane.policy("10.96.0.2:80").first = [detectPolicy(balancer("gone.shop.svc.cluster.local:80"), service)];
      plane.destination("gone.shop.svc.cluster.local:80").first = [add([first])];
      assert.equal((await discovery.acquire("10.96.0.2", 80)).backend.kind, "balancer");
      plane.destination("gone.shop.svc.cluster.local:80").push(noEndpoints(false));
      await until("forwarding", () => {
        const now = discovery.acquire("10.96.0.2", 80);
        return !(now instanceof Promise) && now.backend.kind === "forward";
      });
    }));

  it("refuses where the policy forbids or is no policy", () =>
    world(async ({ plane, discovery }) => {
      plane.policy("10.96.0.1:81").first = [opaquePolicy(balancer(PATH), true)];
      const forbidden = await discovery.acquire("10.96.0.1", 81);
      assert.deepEqual(forbidden.backend, { kind: "fail", status: 403, message: "forbidden by policy" });
      plane.policy("10.96.0.1:82").first = [{ protocol: undefined, metadata: undefined }];
      const invalid = await discovery.acquire("10.96.0.1", 82);
      assert.equal(invalid.backend.kind, "fail");
      assert.equal(invalid.backend.status, 500);
    }));
});
