import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { brotliCompressSync } from "node:zlib";
import { BUNDLE_MAIN, bundleAddon } from "../../../../runtime/model/bundle.ts";

const loader = resolve(import.meta.dirname, "../../../../runtime/proxy/loader/loader.ts");
const root = mkdtempSync(join(tmpdir(), "weft-loader-"));
after(() => rmSync(root, { recursive: true, force: true }));

const MAIN = `
  console.log(JSON.stringify({
    argv: process.argv.slice(1),
    filename: __filename,
    required: typeof require("node:os").cpus,
    addon: process.env.WEFT_ORIGINAL_DST_ADDON,
    umlaut: "ä",
  }));
`;
const ADDON = Buffer.from("the addon's bytes");

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Bundle {
  readonly folder: string;
  readonly digests: Record<string, string>;
}

function bundle(files: Readonly<Record<string, Buffer>> = {}): Bundle {
  const folder = mkdtempSync(join(root, "bundle-"));
  const all: Record<string, Buffer> = {
    [BUNDLE_MAIN]: brotliCompressSync(MAIN),
    [bundleAddon(process.arch)]: ADDON,
    ...files,
  };
  const digests: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(all)) {
    writeFileSync(join(folder, name), bytes);
    digests[name] = createHash("sha256").update(bytes).digest("hex");
  }
  return { folder, digests };
}

/** As a pod runs it: the text by -e, the program's arguments after it. */
function run(environment: Readonly<Record<string, string>>, ...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    const script = `import(${JSON.stringify(loader)})`;
    const env = { PATH: process.env["PATH"], ...environment };
    const child = execFile(process.execPath, ["-e", script, ...args], { env }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}

function environment({ folder, digests }: Bundle): Record<string, string> {
  return {
    WEFT_BUNDLE_FOLDER: folder,
    WEFT_BUNDLE_SCRATCH: join(folder, "scratch"),
    WEFT_BUNDLE_SHA256: JSON.stringify(digests),
  };
}

describe("the loader", () => {
  it("runs main with its arguments, and has put the addon where main finds it", async () => {
    const given = bundle();
    const { code, stdout, stderr } = await run(environment(given), "controller", "--flag");
    assert.equal(code, 0, stderr);
    const addon = join(given.folder, "scratch", bundleAddon(process.arch));
    const main = join(given.folder, "main.cjs");
    assert.deepEqual(JSON.parse(stdout), {
      argv: [main, "controller", "--flag"],
      filename: main,
      required: "function",
      addon,
      umlaut: "ä",
    });
    assert.deepEqual(readFileSync(addon), ADDON);
  });

  it("does without an addon where the bundle has none", async () => {
    const given = bundle();
    delete given.digests[bundleAddon(process.arch)];
    const { code, stdout } = await run(environment(given));
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).addon, undefined);
  });

  it("does not run a proxy that was built for other processors", async () => {
    const given = bundle({ [bundleAddon("riscv")]: ADDON });
    delete given.digests[bundleAddon(process.arch)];
    const { code, stderr } = await run(environment(given));
    assert.equal(code, 64);
    assert.match(stderr, /^weft loader: the bundle has no original-dst-.*\n$/);
  });

  it("runs nothing of a bundle in which a file was changed: main or addon", async () => {
    for (const name of [BUNDLE_MAIN, bundleAddon(process.arch)]) {
      const given = bundle();
      const other = name === BUNDLE_MAIN ? brotliCompressSync(`${MAIN};console.log("evil")`) : Buffer.from("evil");
      writeFileSync(join(given.folder, name), other);
      const { code, stdout, stderr } = await run(environment(given));
      assert.equal(code, 65);
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^weft loader: .*${name} is not what this pod was admitted with .*\\n$`));
      assert.equal(existsSync(join(given.folder, "scratch", bundleAddon(process.arch))), false);
    }
  });

  it("says in one line what is missing: a file, its digest, the digests, the scratch folder", async () => {
    const given = bundle();
    rmSync(join(given.folder, BUNDLE_MAIN));
    const missing = await run(environment(given));
    assert.equal(missing.code, 66);
    assert.match(missing.stderr, /^weft loader: ENOENT.*main\.cjs\.br.*ConfigMap.*\n$/);
    const undigested = bundle();
    delete undigested.digests[BUNDLE_MAIN];
    assert.equal((await run(environment(undigested))).code, 65);
    const wrong = await run({ ...environment(bundle()), WEFT_BUNDLE_SHA256: "{" });
    assert.equal(wrong.code, 64);
    assert.match(wrong.stderr, /^weft loader: WEFT_BUNDLE_SHA256 .*\n$/);
    const unscratched = await run({ ...environment(bundle()), WEFT_BUNDLE_SCRATCH: "" });
    assert.equal(unscratched.code, 64);
    assert.match(unscratched.stderr, /^weft loader: WEFT_BUNDLE_SCRATCH .*\n$/);
  });
});
