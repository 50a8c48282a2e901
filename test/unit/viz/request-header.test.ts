import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isFrontProxy, parseRequestHeaderConfig, readUser } from "../../../runtime/controller/viz/request-header.ts";
import { certificatePem, createCertificateAuthority, issueLeaf } from "../../../runtime/x509/certificate.ts";
import { generateKeyPair } from "../../../runtime/x509/keys.ts";

const lasting = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = createCertificateAuthority({ commonName: "front-proxy", ...lasting });
const other = createCertificateAuthority({ commonName: "front-proxy", ...lasting });
const data = {
  "requestheader-client-ca-file": certificatePem(authority.certificate),
  "requestheader-allowed-names": '["front-proxy-client","aggregator"]',
  "requestheader-username-headers": '["X-Remote-User","X-User"]',
  "requestheader-uid-headers": '["X-Remote-Uid"]',
  "requestheader-group-headers": '["X-Remote-Group"]',
  "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
};
const config = parseRequestHeaderConfig(data);
const leaf = (commonName: string, by = authority, usages: ("serverAuth" | "clientAuth")[] = ["clientAuth"]) =>
  issueLeaf(by, { publicKey: generateKeyPair().publicKey, commonName, usages, ...lasting });

describe("the API server's certificate", () => {
  it("is of its authority, with an allowed name, for clients, in its time", () => {
    assert.equal(isFrontProxy(leaf("front-proxy-client"), config), true);
    assert.equal(isFrontProxy(leaf("aggregator"), config), true);
    assert.equal(isFrontProxy(leaf("somebody"), config), false);
    assert.equal(isFrontProxy(leaf("front-proxy-client", other), config), false);
    assert.equal(isFrontProxy(leaf("front-proxy-client", authority, ["serverAuth"]), config), false);
    assert.equal(isFrontProxy(leaf("front-proxy-client"), config, new Date(Date.now() + 7_200_000)), false);
  });

  it("may have any name where none is configured", () => {
    const any = parseRequestHeaderConfig({ ...data, "requestheader-allowed-names": "[]" });
    assert.equal(isFrontProxy(leaf("somebody"), any), true);
    assert.equal(isFrontProxy(leaf("somebody", other), any), false);
  });
});

describe("the user of a request", () => {
  it("is named by the configured headers; groups and extra fields may repeat", () => {
    const headers = [
      ...["x-remote-user", "jane"],
      ...["x-remote-uid", "42"],
      ...["x-remote-group", "developers"],
      ...["X-Remote-Group", "a, b"],
      ...["x-remote-extra-scopes", "one"],
      ...["x-remote-extra-scopes", "two"],
      ...["x-remote-extra-example.org%2fteam", "blue"],
      ...["accept", "*/*"],
    ];
    assert.deepEqual(readUser(headers, config), {
      name: "jane",
      uid: "42",
      groups: ["developers", "a, b"],
      extra: { scopes: ["one", "two"], "example.org/team": ["blue"] },
    });
  });

  it("is nobody without a name", () => {
    assert.equal(readUser(["x-remote-group", "system:masters"], config), undefined);
    assert.equal(readUser(["x-remote-user", ""], config), undefined);
    assert.equal(readUser(["x-user", "fallback"], config)?.name, "fallback");
  });
});

describe("the requestheader configuration", () => {
  it("must be there and whole", () => {
    assert.throws(() => parseRequestHeaderConfig({}), /aggregation layer is not configured/);
    assert.throws(
      () => parseRequestHeaderConfig({ ...data, "requestheader-group-headers": "x" }),
      /group-headers is no JSON/,
    );
    assert.throws(
      () => parseRequestHeaderConfig({ ...data, "requestheader-allowed-names": '{"a":1}' }),
      /list of names/,
    );
  });
});
