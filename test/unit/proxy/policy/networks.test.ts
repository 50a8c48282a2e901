import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  compileNetworks,
  ipFromWire,
  ipToWire,
  NetworkError,
  networkFromWire,
  parseNetwork,
} from "../../../../runtime/proxy/policy/networks.ts";

describe("networks", () => {
  it("hold the addresses of their prefix, of their family alone, less the exceptions", () => {
    const inside = compileNetworks(
      [parseNetwork("10.0.0.0/8"), parseNetwork("fd00::/8")],
      [parseNetwork("10.1.0.0/16")],
    );
    for (const ip of ["10.0.0.1", "10.255.255.255", "fd12:3456::1", "::ffff:10.2.0.1"]) assert.ok(inside(ip), ip);
    for (const ip of ["11.0.0.1", "10.1.2.3", "fe80::1", "::10.0.0.1", "nonsense", ""]) assert.ok(!inside(ip), ip);
    assert.ok(compileNetworks([parseNetwork("192.168.1.7")])("192.168.1.7"));
    assert.ok(!compileNetworks([parseNetwork("192.168.1.7")])("192.168.1.6"));
    assert.ok(compileNetworks([parseNetwork("0.0.0.0/0")])("255.255.255.255"));
  });

  it("that are none are refused", () => {
    for (const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "fd00::/129", "x/8", "10.0.0.0/-1", ""]) {
      assert.throws(() => parseNetwork(text), NetworkError, text);
    }
  });

  it("and addresses survive the wire", () => {
    assert.deepEqual(ipToWire("10.1.2.3"), { ip: { $case: "ipv4", value: 0x0a010203 } });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (ip) => {
        const canonical = ip.includes(":") ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip;
        const back = ipFromWire(ipToWire(ip));
        // IPv4 in IPv6's clothes is the same address to everybody here.
        assert.ok(back === canonical || canonical.startsWith("::ffff:"), `${ip} became ${back}`);
      }),
    );
    const network = networkFromWire({ ip: ipToWire("10.0.0.0"), prefixLen: 8 });
    assert.deepEqual(network, parseNetwork("10.0.0.0/8"));
    assert.equal(networkFromWire(undefined), undefined);
  });
});
