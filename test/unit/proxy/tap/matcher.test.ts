import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ObserveRequest_Match } from "../../../../runtime/api/gen/io/linkerd/proxy/tap.ts";
import { ipToWire } from "../../../../runtime/proxy/policy/networks.ts";
import type { TapRequest } from "../../../../runtime/proxy/tap/hub.ts";
import { compileTapMatch, TapMatchError } from "../../../../runtime/proxy/tap/matcher.ts";
import { isSensitive } from "../../../../runtime/proxy/tap/redact.ts";
import { TapWatchers } from "../../../../runtime/proxy/tap/watchers.ts";

const request: TapRequest = {
  direction: "outbound",
  source: { ip: "10.1.0.1", port: 40_000 },
  destination: { ip: "10.2.0.2", port: 8080 },
  sourceLabels: [],
  destinationLabels: [
    ["tls", "true"],
    ["dst_deployment", "web"],
  ],
  routeLabels: [["route_name", "default"]],
  method: "POST",
  scheme: "http",
  authority: "web.shop:80",
  path: "/api/orders?x=1",
  headers: () => [],
};

type Kind = NonNullable<ObserveRequest_Match["match"]>;
const matches = (match: Kind): boolean => compileTapMatch({ match })(request);
const http = (value: Extract<Kind, { $case: "http" }>["value"]["match"]): Kind => ({
  $case: "http",
  value: { match: value },
});
const text = (kind: "exact" | "prefix", value: string) => ({ match: { $case: kind, value } }) as const;

describe("tap matches", () => {
  it("look at addresses, ports, labels and the request's head", () => {
    const netmask = (ip: string, mask: number): Kind => ({
      $case: "destination",
      value: { match: { $case: "netmask", value: { ip: ipToWire(ip), mask } } },
    });
    assert.ok(matches(netmask("10.2.0.0", 16)));
    assert.ok(!matches(netmask("10.1.0.0", 16)));
    const ports = (min: number, max: number): Kind => ({
      $case: "source",
      value: { match: { $case: "ports", value: { min, max } } },
    });
    assert.ok(matches(ports(40_000, 40_000)));
    assert.ok(!matches(ports(1, 39_999)));
    assert.ok(matches({ $case: "destinationLabel", value: { key: "deployment", value: "web" } }));
    assert.ok(matches({ $case: "destinationLabel", value: { key: "tls", value: "true" } }));
    assert.ok(!matches({ $case: "destinationLabel", value: { key: "deployment", value: "api" } }));
    assert.ok(matches({ $case: "routeLabel", value: { key: "route_name", value: "default" } }));
    assert.ok(matches(http({ $case: "method", value: { type: { $case: "registered", value: 1 } } })));
    assert.ok(!matches(http({ $case: "method", value: { type: { $case: "registered", value: 0 } } })));
    assert.ok(matches(http({ $case: "scheme", value: { type: { $case: "registered", value: 0 } } })));
    assert.ok(matches(http({ $case: "path", value: text("prefix", "/api/") })));
    assert.ok(!matches(http({ $case: "path", value: text("exact", "/api/") })));
    assert.ok(matches(http({ $case: "authority", value: text("exact", "web.shop:80") })));
  });

  it("combine by all, any and not", () => {
    const yes = { match: http({ $case: "path", value: text("prefix", "/api") }) };
    const no = { match: http({ $case: "path", value: text("prefix", "/other") }) };
    assert.ok(matches({ $case: "any", value: { matches: [no, yes] } }));
    assert.ok(!matches({ $case: "all", value: { matches: [no, yes] } }));
    assert.ok(matches({ $case: "all", value: { matches: [] } }));
    assert.ok(matches({ $case: "not", value: no }));
    assert.ok(compileTapMatch(undefined)(request));
  });

  it("that say nothing or never end are refused", () => {
    assert.throws(() => compileTapMatch({ match: undefined }), TapMatchError);
    assert.throws(() => matches({ $case: "source", value: { match: undefined } }), TapMatchError);
    let deep: ObserveRequest_Match = { match: { $case: "all", value: { matches: [] } } };
    for (let level = 0; level < 100; level++) deep = { match: { $case: "not", value: deep } };
    assert.throws(() => compileTapMatch(deep), TapMatchError);
  });
});

describe("sensitive headers", () => {
  it("are known by name, and by what names tell", () => {
    for (const name of [
      "authorization",
      "cookie",
      "set-cookie",
      "x-api-key",
      "x-auth-token",
      "my_password",
      "x-hub-signature",
    ]) {
      assert.ok(isSensitive(name), name);
    }
    for (const name of ["content-type", "x-request-id", "tokens-left", "host", "accept"])
      assert.ok(!isSensitive(name), name);
  });
});

describe("a watcher that is behind", () => {
  it("gets no further requests until it has caught up, and nothing is kept for it", () => {
    const watchers = new TapWatchers();
    let sent = 0;
    const watching = watchers.watch({
      matches: () => true,
      limit: 100,
      headers: false,
      send: () => {
        sent++;
        return false;
      },
      done: () => undefined,
    });
    const exchange = watchers.open(request);
    assert.equal(sent, 1);
    assert.equal(watchers.open(request), undefined);
    exchange?.end({ responseBytes: 0 });
    assert.equal(sent, 2, "what was begun is ended");
    watching.resume();
    assert.ok(watchers.open(request));
    watching.stop();
    assert.equal(watchers.active, false);
    assert.equal(watchers.open(request), undefined);
  });
});
