/**
 * The first text that a proxy or a controller runs, given to `node -e` in the pod's spec: so it is short, and imports little.
 * It verifies the files of the bundle against the digests of the same spec before it runs a byte of them. A right to write
 * ConfigMaps is no right to run code.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { compileFunction } from "node:vm";
import { brotliDecompressSync } from "node:zlib";
import {
  BUNDLE_DIGESTS_ENV,
  BUNDLE_FOLDER_ENV,
  BUNDLE_MAIN,
  BUNDLE_MOUNT,
  BUNDLE_SCRATCH_ENV,
  bundleAddon,
} from "../../model/bundle.ts";

const { env } = process;
const folder = env[BUNDLE_FOLDER_ENV] || BUNDLE_MOUNT;
/** Where main believes to be: its `require` starts here. */
const mainPath = `${folder}/main.cjs`;

/** One line, and sysexits.h's code for it: 64 wrong usage, 65 wrong data, 66 a missing file. */
function fail(code: number, problem: string): never {
  console.error(`weft loader: ${problem}`);
  process.exit(code);
}

function verified(name: string, digest: string | undefined): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(`${folder}/${name}`);
  } catch (error) {
    return fail(66, `${(error as Error).message}: is the bundle's ConfigMap mounted, and does it hold this file?`);
  }
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found === digest) return bytes;
  return fail(
    65,
    `${folder}/${name} is not what this pod was admitted with (SHA-256 ${found}, expected ${digest}): restore the ConfigMap, or restart the pod to be injected anew`,
  );
}

function readDigests(): Readonly<Record<string, string>> {
  try {
    return JSON.parse(env[BUNDLE_DIGESTS_ENV] ?? "");
  } catch {
    return fail(64, `${BUNDLE_DIGESTS_ENV} is not set to JSON of file names and SHA-256`);
  }
}

/** Returns the function alone: neither packed nor unpacked text outlives this call, but for the one copy that V8 compiles from. */
function load(): (...names: unknown[]) => void {
  const digests = readDigests();
  const packed = verified(BUNDLE_MAIN, digests[BUNDLE_MAIN]);
  const addon = bundleAddon(process.arch);
  if (digests[addon] !== undefined) {
    const bytes = verified(addon, digests[addon]);
    const scratch = env[BUNDLE_SCRATCH_ENV];
    if (!scratch) return fail(64, `${BUNDLE_SCRATCH_ENV} is not set: there is no place for ${addon}`);
    mkdirSync(scratch, { recursive: true });
    writeFileSync(`${scratch}/${addon}`, bytes, { mode: 0o600 });
    env["WEFT_ORIGINAL_DST_ADDON"] = `${scratch}/${addon}`;
  } else if (Object.keys(digests).length > 1) {
    // Redirected connections would lead nowhere.
    fail(64, `the bundle has no ${addon}: it was not built for this node's processor`);
  }
  const parameters = ["exports", "require", "module", "__filename", "__dirname"];
  return compileFunction(brotliDecompressSync(packed).toString(), parameters, { filename: mainPath }) as (
    ...names: unknown[]
  ) => void;
}

// As if main had been started by its own name.
process.argv.splice(1, 0, mainPath);
const main = { exports: {} };
// Not by import: webpack takes `createRequire` for its own.
load()(main.exports, process.getBuiltinModule("node:module").createRequire(mainPath), main, mainPath, folder);
