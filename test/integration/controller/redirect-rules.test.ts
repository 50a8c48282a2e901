import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { parsePortRanges } from "../../../runtime/model/ports.ts";
import { redirectRules } from "../../../runtime/model/redirect-rules.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-redirect-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const rules = redirectRules({
  inboundPort: 4143,
  outboundPort: 4140,
  proxyUid: 2102,
  skipInboundPorts: parsePortRanges("4190,4191,1,2,3,4,5,6,7,8,9,10,11,100-200,12,13"),
  skipOutboundPorts: parsePortRanges("25,8000-9000"),
  skipSubnets: ["10.5.0.0/16"],
});

/** What the kernel has after `times` runs of the init container's command, in a network namespace of its own. */
function applied(times: number): string[] {
  const file = join(folder, "rules");
  writeFileSync(file, rules);
  const restore = Array(times).fill(`iptables-restore --noflush ${file}`).join(" && ");
  const output = execFileSync("unshare", ["--net", "sh", "-c", `${restore} && iptables-save -t nat`]).toString();
  return output.split("\n").filter((line) => line.startsWith("-A"));
}

describe("redirect rules, in the kernel", () => {
  const chain = (lines: readonly string[], name: string): string[] =>
    lines.filter((line) => line.startsWith(`-A ${name} `));

  it("redirect what comes in, except from skipped networks and to skipped ports, 15 slots a rule", () => {
    const inbound = chain(applied(1), "PROXY_INIT_REDIRECT");
    assert.equal(inbound.length, 4);
    assert.match(inbound[0] ?? "", /-s 10\.5\.0\.0\/16 .*-j RETURN$/);
    assert.match(inbound[1] ?? "", /--dports 4190,4191,1,2,3,4,5,6,7,8,9,10,11,100:200 .*-j RETURN$/);
    assert.match(inbound[2] ?? "", /--dports 12,13 .*-j RETURN$/);
    assert.match(inbound[3] ?? "", /-p tcp .*-j REDIRECT --to-ports 4143$/);
  });

  it("redirect what goes out, except from the proxy, over loopback and to skipped ports", () => {
    const outbound = chain(applied(1), "PROXY_INIT_OUTPUT");
    assert.equal(outbound.length, 4);
    assert.match(outbound[0] ?? "", /-m owner --uid-owner 2102 .*-j RETURN$/);
    assert.match(outbound[1] ?? "", /-o lo .*-j RETURN$/);
    assert.match(outbound[2] ?? "", /--dports 25,8000:9000 .*-j RETURN$/);
    assert.match(outbound[3] ?? "", /-p tcp .*-j REDIRECT --to-ports 4140$/);
  });

  it("are the same after the init container ran twice", () => {
    const [once, twice] = [applied(1), applied(2)];
    for (const name of ["PROXY_INIT_REDIRECT", "PROXY_INIT_OUTPUT"])
      assert.deepEqual(chain(twice, name), chain(once, name));
  });
});
