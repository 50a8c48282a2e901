import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpRouteMatch } from "../../../../runtime/api/gen/io/linkerd/proxy/http_route.ts";
import type { Authz, HttpRoute, Server } from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { DefaultInboundPolicy } from "../../../../runtime/model/mesh-config.ts";
import { defaultServer } from "../../../../runtime/proxy/policy/defaults.ts";
import type { Client } from "../../../../runtime/proxy/policy/inbound.ts";
import { ipToWire, parseNetwork } from "../../../../runtime/proxy/policy/networks.ts";
import { compileServer } from "../../../../runtime/proxy/policy/server.ts";
import { request } from "../route/support.ts";

const plain = (address: string): Client => ({ address, tls: "none" });
const mutual = (identity: string, address = "10.1.1.1"): Client => ({ address, tls: "mutual", identity });

function authz(changes: Partial<Authz>): Authz {
  return {
    networks: ["0.0.0.0", "::"].map((ip) => ({ net: { ip: ipToWire(ip), prefixLen: 0 }, except: [] })),
    authentication: { permit: { $case: "unauthenticated", value: {} } },
    labels: {},
    metadata: {
      kind: {
        $case: "resource",
        value: {
          group: "policy.linkerd.io",
          kind: "authorizationpolicy",
          name: "ap",
          namespace: "",
          section: "",
          port: 0,
        },
      },
    },
    ...changes,
  };
}

function meshTls(identities: readonly string[], suffixes: readonly string[][] = []): Pick<Authz, "authentication"> {
  const clients = {
    identities: identities.map((name) => ({ name })),
    suffixes: suffixes.map((parts) => ({ parts: [...parts] })),
  };
  return {
    authentication: {
      permit: { $case: "meshTLS", value: { clients: { $case: "identities", value: clients } } },
    },
  };
}

function match(changes: Partial<HttpRouteMatch>): HttpRouteMatch {
  return { path: undefined, headers: [], queryParams: [], method: undefined, ...changes };
}

function route(name: string, matches: readonly Partial<HttpRouteMatch>[], hosts: HttpRoute["hosts"] = []): HttpRoute {
  return {
    metadata: {
      kind: {
        $case: "resource",
        value: { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name, namespace: "", section: "", port: 0 },
      },
    },
    hosts,
    authorizations: [authz({})],
    rules: [{ matches: matches.map(match), filters: [] }],
  };
}

function server(httpRoutes: readonly HttpRoute[], authorizations: readonly Authz[] = []): Server {
  return {
    protocol: {
      kind: {
        $case: "detect",
        value: {
          timeout: { seconds: 2n, nanos: 500_000_000 },
          httpRoutes: [...httpRoutes],
          httpLocalRateLimit: undefined,
        },
      },
    },
    serverIps: [],
    authorizations: [...authorizations],
    labels: { group: "policy.linkerd.io", kind: "server", name: "web" },
  };
}

describe("authorizations", () => {
  const permits = (authorization: Authz, client: Client): boolean =>
    compileServer(server([], [authorization]), 8080).authorizeConnection(client) !== undefined;

  it("go by network, with exceptions", () => {
    const cluster = authz({
      networks: [
        { net: { ip: ipToWire("10.0.0.0"), prefixLen: 8 }, except: [{ ip: ipToWire("10.9.0.0"), prefixLen: 16 }] },
      ],
    });
    assert.ok(permits(cluster, plain("10.1.2.3")));
    assert.ok(!permits(cluster, plain("10.9.2.3")));
    assert.ok(!permits(cluster, plain("192.168.0.1")));
    assert.ok(permits(cluster, plain("127.0.0.1")), "what a pod says to itself is never checked");
  });

  it("go by identity, by suffix, or by any identity; TLS without certificate is none", () => {
    const exact = authz(meshTls(["web.shop", "api.shop"]));
    assert.ok(permits(exact, mutual("api.shop")));
    assert.ok(!permits(exact, mutual("db.shop")));
    assert.ok(!permits(exact, plain("10.1.1.1")));
    assert.ok(!permits(exact, { address: "10.1.1.1", tls: "server" }));
    const suffix = authz(meshTls([], [["shop", "serviceaccount"]]));
    assert.ok(permits(suffix, mutual("web.shop.serviceaccount")));
    assert.ok(!permits(suffix, mutual("web.workshop.serviceaccount")), "whole labels only");
    assert.ok(permits(authz(meshTls([], [[]])), mutual("anybody")));
    assert.ok(permits(authz(meshTls([], [[""]])), mutual("anybody")));
    const unauthenticatedTls = authz({
      authentication: {
        permit: { $case: "meshTLS", value: { clients: { $case: "unauthenticated", value: {} } } },
      },
    });
    assert.ok(permits(unauthenticatedTls, { address: "10.1.1.1", tls: "server" }));
    assert.ok(!permits(unauthenticatedTls, plain("10.1.1.1")));
  });

  it("that say nothing permit nobody", () => {
    assert.ok(!permits(authz({ authentication: undefined }), mutual("web.shop")));
    assert.ok(!permits(authz({ networks: [] }), plain("10.1.1.1")));
  });

  it("are tried in order; the first that permits is named", () => {
    const compiled = compileServer(
      server([], [authz(meshTls(["web.shop"])), authz({ metadata: { kind: { $case: "default", value: "all" } } })]),
      8080,
    );
    assert.deepEqual(compiled.authorizeConnection(mutual("web.shop"))?.labels[2], ["authz_name", "ap"]);
    assert.deepEqual(compiled.authorizeConnection(mutual("db.shop"))?.labels, [
      ["authz_group", ""],
      ["authz_kind", "default"],
      ["authz_name", "all"],
    ]);
  });
});

describe("routes", () => {
  const path = (kind: "exact" | "prefix" | "regex", value: string) => ({ path: { kind: { $case: kind, value } } });
  const name = (
    compiled: ReturnType<typeof compileServer>,
    method: string,
    target: string,
    headers: Record<string, string> = {},
  ) => {
    return compiled.route({ ...request(`http://web${target}`, { method, headers }), authority: headers["host"] ?? "" })
      ?.name;
  };

  it("match whole path elements, methods, headers, parameters and hosts", () => {
    const compiled = compileServer(
      server([
        route("prefix", [path("prefix", "/foo")]),
        route("regex", [path("regex", "/v[0-9]+/.*")]),
        route("post", [{ method: { type: { $case: "registered", value: 1 } }, ...path("exact", "/orders") }]),
        route("brew", [{ method: { type: { $case: "unregistered", value: "BREW" } } }]),
        route("header", [
          {
            headers: [{ name: "X-Canary", value: { $case: "exact", value: Buffer.from("yes") } }],
            ...path("exact", "/h"),
          },
        ]),
        route("query", [
          { queryParams: [{ name: "v", value: { $case: "regex", value: "[12]" } }], ...path("exact", "/q") },
        ]),
        route(
          "host",
          [path("exact", "/host")],
          [
            { match: { $case: "suffix", value: { reverseLabels: ["com", "example"] } } },
            { match: { $case: "exact", value: "web.shop" } },
          ],
        ),
      ]),
      8080,
    );
    assert.equal(name(compiled, "GET", "/foo"), "prefix");
    assert.equal(name(compiled, "GET", "/foo/bar"), "prefix");
    assert.equal(name(compiled, "GET", "/foobar"), undefined);
    assert.equal(name(compiled, "GET", "/v12/x"), "regex");
    assert.equal(name(compiled, "GET", "/x/v12/x"), undefined, "anchored");
    assert.equal(name(compiled, "POST", "/orders"), "post");
    assert.equal(name(compiled, "GET", "/orders"), undefined);
    assert.equal(name(compiled, "BREW", "/pot"), "brew");
    assert.equal(name(compiled, "GET", "/h", { "x-canary": "yes" }), "header");
    assert.equal(name(compiled, "GET", "/h", { "x-canary": "no" }), undefined);
    assert.equal(name(compiled, "GET", "/q?a=b&v=2"), "query");
    assert.equal(name(compiled, "GET", "/q?v=12"), undefined);
    assert.equal(name(compiled, "GET", "/host", { host: "a.example.com:8080" }), "host");
    assert.equal(name(compiled, "GET", "/host", { host: "WEB.shop" }), "host");
    assert.equal(name(compiled, "GET", "/host", { host: "example.com" }), undefined);
  });

  it("are taken by precedence, not by order", () => {
    const compiled = compileServer(
      server([
        route("all", [path("prefix", "/")]),
        route("short", [path("prefix", "/a")]),
        route("long", [path("prefix", "/a/b")]),
        route("exact", [path("exact", "/a/b/c")]),
        route("method", [{ ...path("prefix", "/a/b"), method: { type: { $case: "registered", value: 3 } } }]),
      ]),
      8080,
    );
    assert.equal(name(compiled, "GET", "/z"), "all");
    assert.equal(name(compiled, "GET", "/a/x"), "short");
    assert.equal(name(compiled, "GET", "/a/b/x"), "long");
    assert.equal(name(compiled, "GET", "/a/b/c"), "exact");
    assert.equal(name(compiled, "DELETE", "/a/b/x"), "method");
    assert.equal(compiled.detectTimeoutMs, 2_500);
    assert.deepEqual(compiled.labels, [
      ["srv_group", "policy.linkerd.io"],
      ["srv_kind", "server"],
      ["srv_name", "web"],
      ["srv_port", "8080"],
    ]);
  });

  it("with an expression that this language does not know match nothing", () => {
    const compiled = compileServer(server([route("bad", [path("regex", "(")])]), 8080);
    assert.equal(name(compiled, "GET", "("), undefined);
  });
});

describe("filters of routes", () => {
  const only = (filters: HttpRoute["rules"][number]["filters"], matches: readonly Partial<HttpRouteMatch>[] = []) => {
    const made = route("filtered", matches);
    return compileServer(server([{ ...made, rules: [{ matches: matches.map(match), filters }] }]), 8080);
  };
  const prefix = (value: string): Partial<HttpRouteMatch> => ({ path: { kind: { $case: "prefix", value } } });

  it("change the request's head", () => {
    const headers = (name: string, value: string) => ({ headers: [{ name, value: Buffer.from(value) }] });
    const compiled = only([
      {
        kind: {
          $case: "requestHeaderModifier",
          value: { add: headers("X-Add", "a"), set: headers("X-Set", "s"), remove: ["X-Gone"] },
        },
      },
    ]);
    const found = compiled.route(request("http://web/any"));
    assert.deepEqual(found?.edits?.add, [["x-add", "a"]]);
    assert.deepEqual(found?.edits?.set, [["x-set", "s"]]);
    assert.deepEqual(found?.edits?.remove, ["x-gone"]);
    assert.equal(found.refuse, undefined);
  });

  it("redirect, with the prefix that matched replaced", () => {
    const compiled = only(
      [
        {
          kind: {
            $case: "redirect",
            value: {
              scheme: { type: { $case: "registered", value: 1 } },
              host: "new.example",
              path: { replace: { $case: "prefix", value: "/v2" } },
              port: 0,
              status: 301,
            },
          },
        },
      ],
      [prefix("/a"), prefix("/b/c")],
    );
    const location = (url: string): string | undefined =>
      compiled
        .route(request(url))
        ?.refuse?.(request(url))
        ?.lines.find(([name]) => name === "location")?.[1];
    assert.equal(location("http://web/a/x?q=1"), "https://new.example/v2/x?q=1");
    assert.equal(location("http://web/b/c/x"), "https://new.example/v2/x");
  });

  it("fail on purpose, of HTTP and of gRPC", () => {
    const compiled = only([
      { kind: { $case: "failureInjector", value: { status: 418, message: "no", ratio: undefined } } },
    ]);
    const refusal = compiled.route(request("http://web/"))?.refuse?.(request("http://web/"));
    assert.equal(refusal?.status, 418);
    assert.equal(refusal.cause, "injected");
    const grpc = compileServer(
      {
        ...server([]),
        protocol: {
          kind: {
            $case: "grpc",
            value: {
              routes: [
                {
                  metadata: undefined,
                  hosts: [{ match: { $case: "exact", value: "shop.example" } }],
                  authorizations: [authz({})],
                  rules: [
                    {
                      matches: [{ rpc: { service: "shop.Cart", method: "Add" }, headers: [] }],
                      filters: [
                        { kind: { $case: "failureInjector", value: { code: 14, message: "later", ratio: undefined } } },
                      ],
                    },
                  ],
                },
              ],
            },
          },
        },
      },
      8080,
    );
    const call = request("http://shop.example/shop.Cart/Add", { method: "POST", grpc: true });
    assert.equal(grpc.route(call)?.refuse?.(call)?.grpcStatus, 14);
    assert.equal(grpc.route(request("http://other.example/shop.Cart/Add")), undefined);
    assert.equal(grpc.route(request("http://shop.example/shop.Cart/Remove")), undefined);
  });
});

describe("audit", () => {
  it("is known by its authorization, from the controller as from the environment", () => {
    const said = authz({ metadata: { kind: { $case: "default", value: "audit" } } });
    assert.equal(compileServer(server([], [said]), 8080).authorizeConnection(plain("10.1.1.1"))?.audit, true);
    const own = { policy: "audit", clusterNetworks: [], opaquePorts: [], detectTimeoutMs: 1 } as const;
    assert.equal(defaultServer(own, 8080).authorizeConnection(plain("10.1.1.1"))?.audit, true);
    assert.equal(
      defaultServer({ ...own, policy: "all-unauthenticated" }, 8080).authorizeConnection(plain("10.1.1.1"))?.audit,
      false,
    );
  });
});

describe("default policies", () => {
  const permitted = (policy: DefaultInboundPolicy): string => {
    const compiled = defaultServer(
      {
        policy,
        clusterNetworks: [parseNetwork("10.0.0.0/8")],
        opaquePorts: [{ first: 25, last: 25 }],
        detectTimeoutMs: 1,
      },
      8080,
    );
    const clients = [plain("10.1.1.1"), plain("1.1.1.1"), mutual("a", "10.1.1.1"), mutual("a", "1.1.1.1")];
    return clients.map((client) => (compiled.route(request("http://web/"))?.authorize(client) ? "+" : "-")).join("");
  };

  it("permit what their names say: plain inside, plain outside, mTLS inside, mTLS outside the cluster", () => {
    assert.equal(permitted("all-unauthenticated"), "++++");
    assert.equal(permitted("audit"), "++++");
    assert.equal(permitted("all-authenticated"), "--++");
    assert.equal(permitted("cluster-unauthenticated"), "+-+-");
    assert.equal(permitted("cluster-authenticated"), "--+-");
    assert.equal(permitted("deny"), "----");
  });

  it("take opaque ports for what they are", () => {
    const options = {
      policy: "all-unauthenticated",
      clusterNetworks: [],
      opaquePorts: [{ first: 25, last: 25 }],
      detectTimeoutMs: 1,
    } as const;
    assert.equal(defaultServer(options, 25).protocol, "opaque");
    assert.equal(defaultServer(options, 26).protocol, "detect");
  });
});
