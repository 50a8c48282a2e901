import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KubeError } from "../../../runtime/kube/errors.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";
import { type Check, type CheckContext, failure, runCheck, success } from "../../../runtime/mesh/checks/check.ts";
import { expiry, validity } from "../../../runtime/mesh/checks/identity.ts";
import { ownerOf } from "../../../runtime/mesh/meshed.ts";
import { createCertificateAuthority } from "../../../runtime/x509/certificate.ts";

const DAY_MS = 86_400_000;
const NOW = new Date("2026-11-25T00:00:00Z");

function certificate(fromDays: number, toDays: number) {
  const day = (days: number) => new Date(NOW.getTime() + days * DAY_MS);
  return createCertificateAuthority({ commonName: "root", notBefore: day(fromDays), notAfter: day(toDays) })
    .certificate;
}

describe("a check of certificates", () => {
  it("fails for one that has expired, is not valid yet or is missing, with the date and a next step", () => {
    assert.deepEqual(validity("the issuer", [certificate(-10, 10)], NOW), success);
    const expired = validity("the issuer", [certificate(-10, 10), certificate(-10, -1)], NOW);
    assert.match(expired.result === "error" ? expired.message : "", /^the issuer expired on 2026-11-24T/);
    const early = validity("the issuer", [certificate(2, 10)], NOW);
    assert.match(early.result === "error" ? early.message : "", /only from 2026-11-27T/);
    const missing = validity("the issuer", [], NOW);
    assert.ok(missing.result === "error" && /missing/.test(missing.message) && missing.hint !== undefined);
  });

  it("warns 60 days before the first of them expires", () => {
    assert.deepEqual(expiry("an anchor", [certificate(-1, 61)], NOW), success);
    const soon = expiry("an anchor", [certificate(-1, 900), certificate(-1, 59)], NOW);
    assert.equal(soon.result, "warning");
    assert.match(soon.result === "warning" ? soon.message : "", /expires in 59 days/);
  });
});

describe("running a check", () => {
  const context: CheckContext = {
    client: {} as KubeClient,
    namespace: "weft",
    dataPlaneNamespace: undefined,
    config: undefined,
  };
  const check = (run: Check["run"]): Check => ({ description: "all is well", run });

  it("gives what was found, with its category", async () => {
    const result = await runCheck(
      "weft-identity",
      check(async () => failure("it is not", "mend it")),
      context,
    );
    assert.deepEqual(result, {
      category: "weft-identity",
      description: "all is well",
      result: "error",
      message: "it is not",
      hint: "mend it",
    });
  });

  it("skips what the user may not see, and fails for any other error, without rejecting", async () => {
    const thrown = async (error: Error) =>
      await runCheck(
        "c",
        check(async () => Promise.reject(error)),
        context,
      );
    const forbidden = await thrown(new KubeError({ kind: "Status", code: 403, message: "secrets is forbidden" }));
    assert.equal(forbidden.result, "skipped");
    assert.match(forbidden.message ?? "", /not yours to see: secrets is forbidden/);
    assert.equal((await thrown(new Error("boom"))).result, "error");
  });
});

describe("a meshed pod", () => {
  const pod = (labels: Record<string, string>) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop", labels },
    spec: { containers: [] },
  });

  it("belongs to the topmost owner that its labels name, or to itself", () => {
    const deployed = pod({ "linkerd.io/proxy-deployment": "web", "linkerd.io/proxy-replicaset": "web-abc" });
    assert.deepEqual(ownerOf(deployed), { kind: "Deployment", namespace: "shop", name: "web" });
    assert.deepEqual(ownerOf(pod({ "linkerd.io/proxy-cronjob": "nightly" })).kind, "CronJob");
    assert.deepEqual(ownerOf(pod({})), { kind: "Pod", namespace: "shop", name: "web-1" });
  });
});
