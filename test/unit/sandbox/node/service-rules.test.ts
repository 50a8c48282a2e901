import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Endpoint, EndpointSlice, Service } from "../../../../runtime/sandbox/node/pod-types.ts";
import { serviceRules } from "../../../../runtime/sandbox/node/service-rules.ts";

function service(name: string, clusterIP: string, ports: NonNullable<Service["spec"]>["ports"]): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "team" },
    spec: { clusterIP, ports: ports ?? [] },
  };
}

function slice(name: string, endpoints: readonly Endpoint[], port = 8080, portName = "http"): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-${port}`, namespace: "team", labels: { "kubernetes.io/service-name": name } },
    endpoints,
    ports: [{ name: portName, port, protocol: "TCP" }],
  };
}

const at = (address: string, conditions: Endpoint["conditions"] = { ready: true }): Endpoint => ({
  addresses: [address],
  ...(conditions && { conditions }),
});
const rules = (services: Service[], slices: EndpointSlice[]): string[] =>
  serviceRules(services, slices, [], "10.0.128.0/17")
    .split("\n")
    .filter((line) => line.startsWith("-A S"));
const web = service("web", "10.0.128.5", [{ name: "http", port: 80 }]);

describe("rules of Services", () => {
  test("each endpoint has the same chance, and its own answer comes back to it", () => {
    assert.deepEqual(rules([web], [slice("web", [at("10.0.1.3"), at("10.0.1.2")])]), [
      "-A SERVICES -d 10.0.128.5/32 -p tcp --dport 80 -j SVC-0",
      "-A SVC-0 -m statistic --mode random --probability 0.50000000 -j SVC-0-0",
      "-A SVC-0-0 -s 10.0.1.2/32 -j MARK --set-mark 0x4000",
      "-A SVC-0-0 -p tcp -j DNAT --to-destination 10.0.1.2:8080",
      "-A SVC-0 -j SVC-0-1",
      "-A SVC-0-1 -s 10.0.1.3/32 -j MARK --set-mark 0x4000",
      "-A SVC-0-1 -p tcp -j DNAT --to-destination 10.0.1.3:8080",
    ]);
  });

  test("only ready ones; where none is, those that still serve; unknown counts as ready", () => {
    const targets = (...endpoints: Endpoint[]): string[] =>
      rules([web], [slice("web", endpoints)]).flatMap((line) => /--to-destination (\S+)/.exec(line)?.[1] ?? []);
    const ending = at("10.0.1.2", { ready: false, serving: true, terminating: true });
    assert.deepEqual(targets(ending, at("10.0.1.3")), ["10.0.1.3:8080"]);
    assert.deepEqual(targets(ending, at("10.0.1.3", { ready: false, serving: false })), ["10.0.1.2:8080"]);
    assert.deepEqual(targets({ addresses: ["10.0.1.4"] }), ["10.0.1.4:8080"]);
  });

  test("endpoints of several slices, each port to its own; headless Services have no rule", () => {
    const both = service("both", "10.0.128.6", [
      { name: "http", port: 80 },
      { name: "admin", port: 90 },
    ]);
    const lines = rules(
      [both, service("headless", "None", [{ name: "http", port: 80 }])],
      [
        slice("both", [at("10.0.1.2")]),
        slice("both", [at("10.0.1.9")], 9090, "admin"),
        slice("headless", [at("10.0.1.2")]),
      ],
    );
    assert.deepEqual(
      lines.filter((line) => line.includes("DNAT") || line.startsWith("-A SERVICES")),
      [
        "-A SERVICES -d 10.0.128.6/32 -p tcp --dport 80 -j SVC-0",
        "-A SVC-0-0 -p tcp -j DNAT --to-destination 10.0.1.2:8080",
        "-A SERVICES -d 10.0.128.6/32 -p tcp --dport 90 -j SVC-2",
        "-A SVC-2-0 -p tcp -j DNAT --to-destination 10.0.1.9:9090",
      ],
    );
  });

  test("the same state is the same text, whatever the order", () => {
    const slices = [slice("web", [at("10.0.1.2"), at("10.0.1.3")]), slice("api", [at("10.0.1.4")])];
    const api = service("api", "10.0.128.7", [{ name: "http", port: 80 }]);
    const turned = slices.toReversed().map((each) => ({ ...each, endpoints: [...(each.endpoints ?? [])].reverse() }));
    assert.deepEqual(rules([web, api], slices), rules([api, web], turned));
  });
});
