import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AddressPool, addressPlan, freePlans } from "../../../../runtime/sandbox/node/address-range.ts";

describe("the sandbox's networks", () => {
  test("all lie in one /16, apart from each other", () => {
    const plan = addressPlan("10.200");
    assert.deepEqual(plan, {
      cidr: "10.200.0.0/16",
      hostAddress: "10.200.0.1",
      gateway: "10.200.0.254",
      nodes: [
        { name: "node1", address: "10.200.100.1", podCidr: "10.200.1.0/24" },
        { name: "node2", address: "10.200.100.2", podCidr: "10.200.2.0/24" },
      ],
      serviceCidr: "10.200.128.0/17",
      dnsAddress: "10.200.128.10",
    });
  });

  test("the first that no route of the host touches", () => {
    const first = (...routes: string[]): string | undefined => freePlans(routes)[0]?.cidr;
    assert.equal(first("default", "192.0.2.0/24", "fd00::/64"), "10.200.0.0/16");
    assert.equal(first("10.200.7.9"), "10.201.0.0/16");
    assert.equal(first("10.200.0.0/15", "10.202.128.0/20"), "10.203.0.0/16");
    // A private network of that size is all in use.
    assert.equal(first("10.0.0.0/8"), "100.100.0.0/16");
    assert.equal(first("10.0.0.0/8", "100.64.0.0/10"), undefined);
  });

  test("an address that was given back is the last to be given out", () => {
    const pool = new AddressPool("10.200.1.0/29");
    assert.deepEqual([pool.take(), pool.take(), pool.take()], ["10.200.1.2", "10.200.1.3", "10.200.1.4"]);
    pool.release("10.200.1.2");
    assert.deepEqual([pool.take(), pool.take(), pool.take()], ["10.200.1.5", "10.200.1.6", "10.200.1.2"]);
    assert.throws(() => pool.take(), /no address is free on this node \(5 pods run on it\)/);
    pool.release("10.200.1.4");
    assert.equal(pool.take(), "10.200.1.4");
  });
});
