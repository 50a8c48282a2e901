import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseStatsRequest } from "../../../runtime/controller/viz/stats-request.ts";

const JSON_TYPE = "application/json";
const KUBECTL =
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

const parse = (path: string, accept = JSON_TYPE) => {
  const url = new URL(path, "https://viz");
  return parseStatsRequest(url.pathname.split("/").filter(Boolean), url.searchParams, accept);
};

describe("a request for statistics", () => {
  it("names resource, namespace, object, window and form", () => {
    assert.deepEqual(parse("/services"), {
      resource: "services",
      single: false,
      windowMs: 60_000,
      window: "1m",
      watch: false,
      table: false,
    });
    assert.deepEqual(parse("/namespaces/shop/deployments/web?window=90s&watch=1", KUBECTL), {
      resource: "deployments",
      namespace: "shop",
      name: "web",
      single: true,
      windowMs: 90_000,
      window: "90s",
      watch: true,
      table: true,
    });
  });

  it("may narrow a collection to one name, as kubectl's watch does", () => {
    const request = parse("/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb-1&watch=true");
    assert.deepEqual([request.name, request.single], ["web-1", false]);
    assert.throws(() => parse("/pods?fieldSelector=spec.nodeName%3Dn1"), /only metadata.name=<name>/);
  });

  it("gets a table only where the first JSON that is accepted is one", () => {
    assert.equal(parse("/pods", "application/json,application/json;as=Table;v=v1;g=meta.k8s.io").table, false);
    assert.equal(parse("/pods", "application/yaml, application/json;as=Table;g=meta.k8s.io;v=v1").table, true);
    assert.equal(parse("/pods", "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json").table, false);
    assert.equal(parse("/pods", "").table, false);
  });

  it("keeps to the windows that are kept", () => {
    for (const window of ["10s", "10000ms", "1h", "60m"]) parse(`/pods?window=${window}`);
    for (const window of ["9s", "0", "61m", "1x", "-1m", "1.5m"]) {
      assert.throws(() => parse(`/pods?window=${window}`), /window/, window);
    }
  });
});
