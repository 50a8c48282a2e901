import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePortSet } from "../../../runtime/controller/config/port-sets.ts";
import { fromIpAddress, toIpAddress, toNetwork } from "../../../runtime/controller/destination/addresses.ts";
import { parseAuthority, parseContextToken } from "../../../runtime/controller/destination/authority.ts";
import { difference } from "../../../runtime/controller/destination/endpoint-publisher.ts";
import {
  type EndpointEntry,
  type EndpointMap,
  visibleTo,
} from "../../../runtime/controller/destination/endpoint-set.ts";
import type { PodView } from "../../../runtime/controller/destination/projections.ts";
import { bareAddress, podAddress } from "../../../runtime/controller/destination/weighted-address.ts";
import { parseWorkload } from "../../../runtime/controller/policy/workload.ts";
import { annotation, label } from "../../../runtime/model/names.ts";
import { mesh } from "./support.ts";

function entry(ip: string, parts: Partial<EndpointEntry> = {}): [string, EndpointEntry] {
  const address = bareAddress(ip, 80, {});
  return [
    `${ip}:80`,
    { address, ip, port: 80, zone: "", nodeName: "", hintZones: undefined, signature: "s", ...parts },
  ];
}

describe("names of targets", () => {
  const domain = "cluster.local";
  it("are Services, pods of headless ones, addresses, or foreign", () => {
    assert.deepEqual(parseAuthority("web.shop.svc.cluster.local:8080", domain), {
      kind: "service",
      key: "shop/web",
      port: 8080,
    });
    assert.deepEqual(parseAuthority("WEB.shop.svc.cluster.local.", domain), {
      kind: "service",
      key: "shop/web",
      port: 80,
    });
    assert.deepEqual(parseAuthority("db-0.db.shop.svc.cluster.local:5432", domain), {
      kind: "service",
      key: "shop/db",
      hostname: "db-0",
      port: 5432,
    });
    assert.deepEqual(parseAuthority("10.0.0.1:80", domain), { kind: "ip", ip: "10.0.0.1", port: 80 });
    assert.deepEqual(parseAuthority("[fd00::1]:80", domain), { kind: "ip", ip: "fd00::1", port: 80 });
    assert.deepEqual(parseAuthority("example.com:443", domain), { kind: "foreign" });
  });
  it("are refused where they are none", () => {
    for (const text of [
      "",
      ":80",
      "web.shop.svc.cluster.local:0",
      "web.shop.svc.cluster.local:65536",
      "a b:80",
      "a.b.c.d.svc.cluster.local",
      "fd00::1:80",
    ]) {
      assert.equal(parseAuthority(text, domain), undefined, text);
    }
  });
  it("context tokens and workload tokens come as JSON, or in their old form", () => {
    assert.deepEqual(parseContextToken('{"ns":"a", "nodeName":"n", "pod":"p"}\n'), {
      namespace: "a",
      nodeName: "n",
      pod: "p",
    });
    assert.equal(parseContextToken("ns:a").namespace, "a");
    assert.equal(parseContextToken("junk").namespace, "");
    assert.equal(parseWorkload('{"ns":"a", "pod":"p"}\n'), "a/p");
    assert.equal(parseWorkload("a:p"), "a/p");
    for (const text of ["", "a", "{}", '{"ns":"a"}', "{"]) assert.equal(parseWorkload(text), undefined, text);
  });
});

describe("addresses on the wire", () => {
  it("keep every bit, both families", () => {
    for (const text of ["0.0.0.0", "10.1.2.3", "255.255.255.255", "::1", "fd00::1:2", "2001:db8:1:2:3:4:5:6"]) {
      assert.equal(fromIpAddress(toIpAddress(text)), text);
    }
    assert.deepEqual(toIpAddress("192.168.0.1"), { ip: { $case: "ipv4", value: 0xc0a80001 } });
    assert.equal(toNetwork("10.0.0.0/8").prefixLen, 8);
    assert.equal(toNetwork("::/0").prefixLen, 0);
    assert.throws(() => toIpAddress("localhost"), RangeError);
  });
});

describe("what a client is told", () => {
  const labels = { namespace: "n", service: "s" };
  const seen = (endpoints: EndpointMap, exists = true) => ({ endpoints, exists });

  it("only what changed: additions before removals", () => {
    const before = seen(new Map([entry("10.0.0.1"), entry("10.0.0.2")]));
    const after = seen(new Map([entry("10.0.0.2"), entry("10.0.0.3")]));
    const updates = difference(before, after, labels);
    assert.deepEqual(
      updates.map(({ update }) => [update?.$case, update?.$case === "noEndpoints" ? 0 : update?.value.addrs.length]),
      [
        ["add", 1],
        ["remove", 1],
      ],
    );
    assert.deepEqual(difference(after, after, labels), []);
  });
  it("again where an address means something else now", () => {
    const [key, changed] = entry("10.0.0.1", { signature: "other" });
    const [update] = difference(seen(new Map([entry("10.0.0.1")])), seen(new Map([[key, changed]])), labels);
    assert.equal(update?.update?.$case, "add");
  });
  it("that there is nothing, and whether the Service exists, once", () => {
    const nothing = seen(new Map());
    assert.deepEqual(difference(undefined, nothing, labels)[0]?.update, {
      $case: "noEndpoints",
      value: { exists: true },
    });
    assert.deepEqual(difference(nothing, nothing, labels), []);
    assert.deepEqual(difference(nothing, seen(new Map(), false), labels)[0]?.update, {
      $case: "noEndpoints",
      value: { exists: false },
    });
  });
  it("in messages that fit", () => {
    const many = new Map(Array.from({ length: 4_500 }, (_, at) => entry(`10.${at >> 8}.${at & 255}.1`)));
    const sizes = difference(undefined, seen(many), labels).map(({ update }) =>
      update?.$case === "add" ? update.value.addrs.length : 0,
    );
    assert.deepEqual(sizes, [2_000, 2_000, 500]);
  });
});

describe("topology", () => {
  const near = entry("10.0.0.1", { zone: "a", hintZones: ["a"], nodeName: "n1" });
  const far = entry("10.0.0.2", { zone: "b", hintZones: ["b"], nodeName: "n2" });
  const keys = (map: EndpointMap): string[] => [...map.values()].map(({ ip }) => ip);

  it("keeps to hinted zones when every endpoint has hints and some is left", () => {
    const all = new Map([near, far]);
    assert.deepEqual(keys(visibleTo(all, { zone: "a", nodeName: "n1" }, false)), ["10.0.0.1"]);
    assert.deepEqual(keys(visibleTo(all, { zone: "c", nodeName: "n3" }, false)), ["10.0.0.1", "10.0.0.2"]);
    assert.deepEqual(keys(visibleTo(all, { zone: "", nodeName: "" }, false)), ["10.0.0.1", "10.0.0.2"]);
    const partly = new Map([near, entry("10.0.0.3")]);
    assert.deepEqual(keys(visibleTo(partly, { zone: "a", nodeName: "n1" }, false)), ["10.0.0.1", "10.0.0.3"]);
  });
  it("keeps to the node where the Service says Local, and leaves nothing rather than going elsewhere", () => {
    assert.deepEqual(keys(visibleTo(new Map([near, far]), { zone: "a", nodeName: "n2" }, true)), ["10.0.0.2"]);
    assert.deepEqual(keys(visibleTo(new Map([near, far]), { zone: "a", nodeName: "n3" }, true)), []);
  });
  it("labels how far an endpoint is", () => {
    const all = visibleTo(new Map([near, far, entry("10.0.0.3")]), { zone: "a", nodeName: "" }, false);
    assert.deepEqual(
      [...all.values()].map(({ address }) => address.metricLabels["zone_locality"]),
      ["local", "remote", "unknown"],
    );
  });
});

describe("port sets", () => {
  it("take numbers, ranges and names; the rest is told", () => {
    assert.deepEqual(parsePortSet(" 25, 4000-4010,db ,x,0,9-8,", [{ name: "db", port: 5432 }]), {
      ranges: [
        { first: 25, last: 25 },
        { first: 4000, last: 4010 },
        { first: 5432, last: 5432 },
      ],
      unknown: ["x", "0", "9-8"],
    });
  });
});

describe("what is told of a pod's proxy", () => {
  const pod = (parts: { annotations?: Record<string, string>; proxy?: boolean } = {}): PodView => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "web-1",
      namespace: "shop",
      labels: { [label.controlPlaneNamespace]: mesh.controlPlaneNamespace },
      annotations: parts.annotations ?? {},
    },
    serviceAccount: "web",
    nodeName: "",
    hostNetwork: false,
    hostIp: "",
    ips: ["10.0.0.1"],
    finished: false,
    ports: [],
    probes: [],
    ...(parts.proxy === false ? {} : { proxy: { inbound: 4143, admin: 4191, control: 4190 } }),
  });
  const address = (of: PodView, port: number, upgrade: boolean | undefined): ReturnType<typeof podAddress> =>
    podAddress(
      { namespace: () => undefined },
      { ...mesh, ...(upgrade === undefined ? {} : { http2Upgrade: upgrade }) },
      of,
      "10.0.0.1",
      port,
      "",
    );
  const hint = (of: PodView, port: number, upgrade: boolean | undefined): string | undefined =>
    address(of, port, upgrade).protocolHint?.protocol?.$case;

  it("is HTTP/2 where the port is not opaque and the mesh wants it", () => {
    assert.equal(hint(pod(), 8080, true), "h2");
    assert.equal(hint(pod(), 8080, false), undefined);
    assert.equal(hint(pod(), 3306, true), "opaque");
    assert.equal(hint(pod(), 3306, false), "opaque");
    const own = pod({ annotations: { [annotation.opaquePorts]: "8080" } });
    assert.equal(hint(own, 8080, true), "opaque");
    assert.equal(hint(own, 3306, true), "h2");
  });
  it("is nothing where no proxy takes the connection", () => {
    for (const [of, port] of [
      [pod({ proxy: false }), 8080],
      [pod(), 4191],
      [pod({ annotations: { [annotation.skipInboundPorts]: "8080" } }), 8080],
    ] as const) {
      assert.equal(address(of, port, true).protocolHint, undefined);
      assert.equal(address(of, port, true).http2, undefined);
    }
  });
  it("has signs of life on HTTP/2 every 10 s, for 3 s, while idle too", () => {
    assert.deepEqual(address(pod(), 8080, false).http2?.keepAlive, {
      interval: { seconds: 10n, nanos: 0 },
      timeout: { seconds: 3n, nanos: 0 },
      whileIdle: true,
    });
  });
});
