/** Which rule, which backend, which edits (reference 9.9; Gateway API). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpRoute, HttpRoute_Filter } from "../../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { editFields } from "../../../../runtime/proxy/route/head-edits.ts";
import { compileGrpcRoutes, compileHttpRoutes } from "../../../../runtime/proxy/route/policy.ts";
import { distribute, type Route, RouteTable } from "../../../../runtime/proxy/route/table.ts";
import { nameOf, pathMatch, request, route, routeBackend, rule, weighted } from "./support.ts";

function table(routes: HttpRoute[]): RouteTable<string> {
  return new RouteTable(compileHttpRoutes(routes, nameOf));
}

function header(name: string, value: string) {
  return { name, value: Buffer.from(value) };
}

function leadsTo(found: Route<string> | undefined): string | undefined {
  return found?.choices[0]?.backend;
}

describe("a table of routes", () => {
  it("looks at nothing of a request where there is one rule and one backend", () => {
    const plain = table([route([rule({ matches: [pathMatch("prefix", "/")] })])]).plain;
    assert.equal(plain?.backend, "web");
    assert.equal(plain.rule.request, undefined);
    assert.equal(table([route([rule({ backends: weighted({ a: 1, b: 1 }) })])]).plain, undefined);
    assert.equal(table([route([rule({ allowL5dRequestHeaders: true })])]).plain, undefined);
  });

  it("obeys the order of the Gateway API", () => {
    const all = table([
      route([
        rule({ to: "any" }),
        rule({ to: "prefix", matches: [pathMatch("prefix", "/api")] }),
        rule({ to: "longer", matches: [pathMatch("prefix", "/api/v1/")] }),
        rule({ to: "exact", matches: [pathMatch("exact", "/api")] }),
        rule({
          to: "method",
          matches: [{ ...pathMatch("prefix", "/api"), method: { type: { $case: "registered", value: 1 } } }],
        }),
        rule({
          to: "header",
          matches: [
            {
              ...pathMatch("prefix", "/api"),
              headers: [{ name: "X-Version", value: { $case: "exact", value: Buffer.from("2") } }],
            },
          ],
        }),
        rule({
          to: "query",
          matches: [
            {
              ...pathMatch("prefix", "/api"),
              queryParams: [{ name: "beta", value: { $case: "exact", value: "yes" } }],
            },
          ],
        }),
      ]),
      route([rule({ to: "host" })], [{ match: { $case: "exact", value: "shop.example" } }]),
    ]);
    const to = (...args: Parameters<typeof request>): string | undefined => leadsTo(all.find(request(...args)));
    assert.equal(to("http://web/"), "any");
    assert.equal(to("http://web/apinot"), "any");
    assert.equal(to("http://web/api/x"), "prefix");
    assert.equal(to("http://web/api/v1/x"), "longer");
    assert.equal(to("http://web/api"), "exact");
    assert.equal(to("http://web/api/x", { method: "POST", headers: { "x-version": "2" } }), "method");
    assert.equal(to("http://web/api/x?beta=yes", { headers: { "x-version": "2" } }), "header");
    assert.equal(to("http://web/api/x?beta=yes"), "query");
    assert.equal(to("http://shop.example/api"), "host");
  });

  it("finds nothing where no rule matches", () => {
    const some = table([route([rule({ matches: [pathMatch("exact", "/only")] })])]);
    assert.equal(some.find(request("http://web/")), undefined);
  });

  it("matches gRPC by service and method", () => {
    const entries = compileGrpcRoutes(
      [
        {
          metadata: undefined,
          hosts: [],
          rules: [
            { ...rule({ to: "one" }), matches: [{ rpc: { service: "shop.Cart", method: "Add" }, headers: [] }] },
            { ...rule({ to: "two" }), matches: [{ rpc: { service: "shop.Cart", method: "" }, headers: [] }] },
          ].map(({ filters: _, retry: __, backends, ...rest }) => ({
            ...rest,
            filters: [],
            retry: undefined,
            backends: backends as never,
          })),
        },
      ],
      nameOf,
    );
    const calls = new RouteTable(entries);
    assert.equal(leadsTo(calls.find(request("http://web/shop.Cart/Add"))), "one");
    assert.equal(leadsTo(calls.find(request("http://web/shop.Cart/Clear"))), "two");
    assert.equal(calls.find(request("http://web/shop.Other/Add")), undefined);
  });

  it("puts a rule's and a backend's edits together", () => {
    const modifier = (set: string, remove: string[] = []): HttpRoute_Filter => ({
      kind: {
        $case: "requestHeaderModifier",
        value: { add: undefined, set: { headers: [header("X-Who", set)] }, remove },
      },
    });
    const rewrite: HttpRoute_Filter = {
      kind: {
        $case: "urlRewrite",
        value: { host: "inner.example", path: { replace: { $case: "prefix", value: "/v2" } } },
      },
    };
    const backends = {
      kind: {
        $case: "firstAvailable" as const,
        value: { backends: [routeBackend("web", [modifier("backend", ["x-secret"])])] },
      },
    };
    const found = table([
      route([
        rule({
          matches: [pathMatch("prefix", "/v1"), pathMatch("prefix", "/old/api")],
          filters: [modifier("rule"), rewrite],
          backends,
        }),
      ]),
    ]);
    const edits = found.find(request("http://web/v1/x"))?.choices[0]?.rule.request;
    assert.ok(edits);
    assert.deepEqual(
      editFields(
        [
          ["x-secret", "1"],
          ["x-who", "client"],
          ["accept", "a"],
        ],
        edits,
      ),
      [
        ["accept", "a"],
        ["x-who", "backend"],
      ],
    );
    assert.equal(edits.authority, "inner.example");
    assert.equal(edits.path?.("/v1/x"), "/v2/x");
    const other = found.find(request("http://web/old/api"))?.choices[0]?.rule.request;
    assert.equal(other?.path?.("/old/api"), "/v2");
  });

  it("shares requests by weight, and passes over who cannot take them", () => {
    const split = table([route([rule({ backends: weighted({ a: 3, b: 1, never: 0 }) })])]).find(request("http://web/"));
    assert.ok(split);
    let at = 0;
    const counts: Record<string, number> = {};
    for (; at < 1; at += 0.01) {
      const to =
        distribute(
          split,
          ({ backend }) => backend,
          () => at,
        )?.taken ?? "";
      counts[to] = (counts[to] ?? 0) + 1;
    }
    assert.deepEqual(counts, { a: 75, b: 25 });
    assert.equal(
      distribute(
        split,
        ({ backend }) => (backend === "b" ? backend : undefined),
        () => 0,
      )?.taken,
      "b",
    );
    const none = distribute(
      split,
      () => undefined,
      () => 0,
    );
    assert.equal(none?.choice.backend, "a");
    assert.equal(none.taken, undefined);
  });
});

describe("a redirect", () => {
  const redirected = (
    url: string,
    parts: { scheme?: 0 | 1; host?: string; port?: number; status?: number; path?: "full" | "prefix"; to?: string },
    match = pathMatch("prefix", "/old"),
  ) => {
    const filter: HttpRoute_Filter = {
      kind: {
        $case: "redirect",
        value: {
          scheme: parts.scheme === undefined ? undefined : { type: { $case: "registered", value: parts.scheme } },
          host: parts.host ?? "",
          path: parts.path === undefined ? undefined : { replace: { $case: parts.path, value: parts.to ?? "" } },
          port: parts.port ?? 0,
          status: parts.status ?? 0,
        },
      },
    };
    const refusal = table([route([rule({ matches: [match], filters: [filter] })])])
      .find(request(url))
      ?.refuse?.(request(url));
    return [refusal?.status, refusal?.lines[0]?.[1]];
  };

  it("keeps what it does not replace", () => {
    assert.deepEqual(redirected("http://web/old/a?x=1", { host: "new.example" }), [
      302,
      "http://new.example/old/a?x=1",
    ]);
    assert.deepEqual(redirected("http://web:8080/old", { status: 301 }), [301, "http://web:8080/old"]);
  });
  it("leaves out a scheme's usual port, and a former port with another scheme", () => {
    assert.deepEqual(redirected("http://web:8080/old", { scheme: 1 }), [302, "https://web/old"]);
    assert.deepEqual(redirected("http://web/old", { port: 80 }), [302, "http://web/old"]);
    assert.deepEqual(redirected("http://web/old", { scheme: 1, port: 8443 }), [302, "https://web:8443/old"]);
    assert.deepEqual(redirected("http://web/old", { scheme: 0, port: 443 }), [302, "http://web:443/old"]);
  });
  it("replaces paths, whole or their matched prefix", () => {
    assert.deepEqual(redirected("http://web/old/a/b", { path: "full", to: "/new" }), [302, "http://web/new"]);
    assert.deepEqual(redirected("http://web/old/a/b", { path: "prefix", to: "/new" }), [302, "http://web/new/a/b"]);
    assert.deepEqual(redirected("http://web/old/a", { path: "prefix", to: "/" }), [302, "http://web/a"]);
    assert.deepEqual(redirected("http://web/old", { path: "prefix", to: "/" }), [302, "http://web/"]);
  });
});
