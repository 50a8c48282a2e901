import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "../../../../runtime/proxy/http/request-head.ts";
import { authorityOf, hostnameOf } from "../../../../runtime/proxy/metrics/request-names.ts";

function head(authority: string, canonical?: string): RequestHead {
  return {
    authority,
    header: (name: string) => (name === "l5d-dst-canonical" ? canonical : undefined),
  } as RequestHead;
}

test("a request's name is a name of DNS, in lower case, or none", () => {
  const cases: [authority: string, hostname: string, label: string | undefined][] = [
    ["Web.shop:8080", "web.shop", "web.shop:8080"],
    ["web.shop:80", "web.shop", "web.shop"],
    ["web.shop.", "web.shop", "web.shop"],
    ["user@web", "web", "web"],
    ["web_1.shop", "web_1.shop", "web_1.shop"],
    ["10.1.2.3:80", "", undefined],
    ["[fd00::1]:80", "", undefined],
    ["", "", undefined],
    ['a"b', "", undefined],
    [`${"a".repeat(64)}.b`, "", undefined],
    [Array(64).fill("abc").join("."), "", undefined],
  ];
  for (const [authority, hostname, label] of cases) {
    assert.equal(hostnameOf(head(authority)), hostname, authority);
    assert.equal(authorityOf(head(authority)), label, authority);
  }
});

test("what the client's proxy found goes before what the request says, unless it is an address", () => {
  assert.equal(authorityOf(head("web", "web.shop.svc.cluster.local:80")), "web.shop.svc.cluster.local");
  assert.equal(authorityOf(head("web", "10.1.2.3:80")), "web");
});
