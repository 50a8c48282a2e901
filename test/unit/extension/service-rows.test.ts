import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Row } from "../../../extension/views/row.ts";
import { failingServices, parseServiceId, serviceRows } from "../../../extension/views/service-rows.ts";
import type { Edge, Stat } from "../../../runtime/model/statistics.ts";

const source = { kind: "embedded", since: "2026-01-01T10:00:00Z", asOf: "2026-01-01T10:05:00Z" } as const;
const identity = (account: string) => `${account}.shop.serviceaccount.identity.weft.cluster.local`;

const web: Stat = {
  kind: "Service",
  namespace: "shop",
  name: "web",
  meshedPods: 1,
  totalPods: 2,
  http: {
    requests: 100,
    successes: 80,
    successRate: 0.8,
    requestsPerSecond: 1.7,
    latencyMs: { p50: 2, p95: 9, p99: 40 },
  },
  mtls: { state: "partial", share: 0.6 },
};
const idle: Stat = {
  kind: "Service",
  namespace: "shop",
  name: "idle",
  meshedPods: 0,
  totalPods: 1,
  mtls: { state: "unknown", reason: "no meshed pods" },
  noData: "no meshed pods",
};
const edge: Edge = {
  source: { kind: "Deployment", namespace: "shop", name: "cart", identity: identity("cart") },
  destination: { kind: "Service", namespace: "shop", name: "web", identity: identity("web") },
  mtls: { state: "all", share: 1 },
  ...(web.http === undefined ? {} : { http: web.http }),
};

function find(rows: readonly Row[], id: string): Row {
  for (const row of rows) {
    if (row.id === id) return row;
    const found = row.children === undefined ? undefined : tryFind(row.children, id);
    if (found !== undefined) return found;
  }
  throw new Error(`no row ${id}`);
}
function tryFind(rows: readonly Row[], id: string): Row | undefined {
  try {
    return find(rows, id);
  } catch {
    return undefined;
  }
}

describe("the Services tree", () => {
  const rows = serviceRows({ services: [web, idle], window: "1m", source, details: new Map() });

  it("groups by namespace, in alphabetical order, and says what fails", () => {
    assert.deepEqual(
      rows.map(({ label, description }) => [label, description]),
      [["shop", "2 services, 1 failing"]],
    );
    assert.deepEqual(
      rows[0]?.children?.map(({ label }) => label),
      ["idle", "web"],
    );
  });

  it("shows figures, mTLS in the icon and in words, health by colour and badge", () => {
    const row = find(rows, "service/shop/web");
    assert.equal(row.description, "80% · 1.7/s · 2/9/40ms · mTLS 60%");
    assert.equal(row.icon, "mtls-partial");
    assert.equal(row.health, "poor");
    assert.match(row.accessible, /^Service web, success rate 80%, .*, 60% of traffic by mutual TLS$/);
  });

  it("says why there are no figures", () => {
    const row = find(rows, "service/shop/idle");
    assert.equal(row.description, "no meshed pods");
    assert.equal(row.icon, "mtls-unknown");
    assert.match(row.accessible, /no data: no meshed pods, mutual TLS unknown, no meshed pods/);
  });

  it("names the window and the source with every figure", () => {
    const tooltip = find(rows, "service/shop/web").tooltip?.() ?? "";
    assert.match(tooltip, /80% \(80 of 100\)/);
    assert.match(tooltip, /last 1m, scraped by the mesh since \d\d:00:00, newest scrape \d\d:05:00/);
    assert.match(tooltip, /Meshed pods \| 1 of 2/);
  });

  it("an open service has its pods, and its callers with both identities", () => {
    const details = {
      endpoints: new Map([["web", ["web-2", "web-1"]]]),
      pods: new Map([["web-1", { ...web, kind: "Pod", name: "web-1", meshedPods: 1, totalPods: 1 } as const]]),
      edges: [edge, { ...edge, destination: { ...edge.destination, name: "other" } }],
    };
    const open = serviceRows({ services: [web], window: "1m", source, details: new Map([["shop", details]]) });
    assert.deepEqual(
      find(open, "service/shop/web/pods").children?.map(({ label, icon }) => [label, icon]),
      [
        ["web-1", "pod-meshed"],
        ["web-2", "pod-unmeshed"],
      ],
    );
    const callers = find(open, "service/shop/web/callers");
    assert.equal(callers.children?.length, 1);
    const [caller] = callers.children ?? [];
    assert.equal(caller?.label, "cart");
    assert.deepEqual(
      caller?.children?.map(({ label, description }) => [label, description]),
      [
        ["Client", identity("cart")],
        ["Server", identity("web")],
      ],
    );
    assert.equal(caller?.children?.[0]?.subject?.name, identity("cart"));
  });

  it("two callers of one name and different identities are two rows", () => {
    const other = { ...edge, source: { ...edge.source, identity: identity("other") } };
    const details = { edges: [edge, other], endpoints: new Map(), pods: new Map() };
    const open = serviceRows({ services: [web], window: "1m", source, details: new Map([["shop", details]]) });
    const ids = find(open, "service/shop/web/callers").children?.map(({ id }) => id) ?? [];
    assert.equal(new Set(ids).size, 2);
  });

  it("counts failing services for the badge", () => {
    assert.deepEqual(failingServices([web, idle]), ["shop/web (80%)"]);
  });

  it("knows a service's row from what is inside it", () => {
    assert.deepEqual(parseServiceId("service/shop/web"), { namespace: "shop", name: "web" });
    assert.equal(parseServiceId("service/shop/web/pods"), undefined);
    assert.equal(parseServiceId("namespace/shop"), undefined);
  });
});
