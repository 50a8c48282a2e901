import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ConfigError, parseMeshConfig, readConfig } from "../../../runtime/controller/config/config.ts";
import { createLog, messageOf } from "../../../runtime/controller/config/log.ts";
import { mesh } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-config-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "config.json");
writeFileSync(file, JSON.stringify(mesh));

describe("the controller's configuration", () => {
  it("is the mesh's document and the pod's own names", async () => {
    const env = { WEFT_POD_NAME: "weft-controller-1", WEFT_POD_NAMESPACE: "weft" };
    assert.deepEqual(await readConfig(env, file), { mesh, podName: "weft-controller-1", namespace: "weft" });
  });
  it("says which part is missing", async () => {
    await assert.rejects(readConfig({ WEFT_POD_NAMESPACE: "weft" }, file), /WEFT_POD_NAME/);
    await assert.rejects(readConfig({ WEFT_POD_NAME: "x", WEFT_POD_NAMESPACE: "other" }, file), /"other".*"weft"/);
    await assert.rejects(readConfig({}, join(folder, "none")), /is ConfigMap weft-config mounted/);
    assert.throws(() => parseMeshConfig("{"), ConfigError);
    assert.throws(() => parseMeshConfig("null"), ConfigError);
    const { images: _, ...rest } = mesh;
    assert.throws(() => parseMeshConfig(JSON.stringify(rest)), /"images.node"/);
    assert.throws(() => parseMeshConfig(JSON.stringify({ ...mesh, opaquePorts: [0] })), /"opaquePorts"/);
    assert.throws(() => parseMeshConfig(JSON.stringify({ ...mesh, http2Upgrade: "yes" })), /"http2Upgrade"/);
    assert.equal(parseMeshConfig(JSON.stringify({ ...mesh, http2Upgrade: true })).http2Upgrade, true);
  });
});

describe("the log", () => {
  const lines = (level: string | undefined): string[] => {
    const written: string[] = [];
    const log = createLog("a", level, (line) => written.push(line));
    log.debug("d");
    log.info("two\n  lines", { name: "with space", count: 2, none: undefined });
    log.for("b").error("e");
    return written.map((line) => line.replace(/^\S+ /, ""));
  };
  it("is a line an event, by level", () => {
    assert.deepEqual(lines("info"), ['INFO a: two lines name="with space" count=2\n', "ERROR b: e\n"]);
    assert.deepEqual(lines("error"), ["ERROR b: e\n"]);
    assert.equal(lines("debug").length, 3);
    assert.deepEqual(lines("nonsense"), lines(undefined));
  });
  it("tells an error with its causes", () => {
    assert.equal(messageOf(new Error("a", { cause: new Error("b", { cause: "c" }) })), "a (b (c))");
  });
});
