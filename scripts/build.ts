/**
 * Builds dist/: bundles everything by webpack, compiles the proxy's native addon, packs what travels in ConfigMaps.
 * Nothing is built twice from the same sources.
 *
 *   node scripts/build.ts [--only proxy,controller] [--force]
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants } from "node:zlib";
import { BUNDLE_MAIN, bundleAddon } from "../runtime/model/bundle.ts";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
const stamp = join(dist, ".stamp");
const SOURCES = [
  "extension",
  "runtime",
  "webviews",
  "test/host",
  "webpack.config.mjs",
  "package.json",
  "scripts/build.ts",
];
/** Compilers of the addon by the architecture they compile for, as process.arch names it. */
const CROSS_COMPILERS: Readonly<Record<string, string>> = {
  x64: "x86_64-linux-gnu-gcc",
  arm64: "aarch64-linux-gnu-gcc",
};

/** Debian's packages of compilers that are not here for processors other than this machine's. */
export function missingCrossCompilers(): string[] {
  return Object.entries(CROSS_COMPILERS).flatMap(([arch, compiler]) =>
    arch === process.arch || isThere(compiler) ? [] : [`gcc-${arch === "x64" ? "x86-64" : "aarch64"}-linux-gnu`],
  );
}

function isThere(compiler: string): boolean {
  return spawnSync(compiler, ["--version"]).status === 0;
}

/** Builds what is stale. @param only webpack targets; absent: all of them */
export function build(options: { only?: string; force?: boolean; log?: (line: string) => void } = {}): void {
  const log = options.log ?? console.log;
  const fingerprint = sourceFingerprint();
  if (
    !options.force &&
    options.only === undefined &&
    existsSync(stamp) &&
    readFileSync(stamp, "utf8") === fingerprint
  ) {
    log("build: up to date");
    return;
  }
  const began = Date.now();
  rmSync(stamp, { force: true });
  bundle(options.only);
  compileAddons(log);
  for (const program of ["proxy", "controller"]) packMain(program);
  if (options.only === undefined) writeFileSync(stamp, fingerprint);
  log(`build: done in ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

function bundle(only: string | undefined): void {
  const webpack = join(root, "node_modules/webpack/bin/webpack.js");
  const argv = [webpack, "--config", join(root, "webpack.config.mjs")];
  if (only !== undefined) argv.push("--env", `only=${only}`);
  const { status, stdout } = spawnSync(process.execPath, argv, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  // A program a line that says "compiled successfully" is no news.
  if (status !== 0) throw new Error(`webpack failed (exit code ${status}):\n${stdout}`);
}

/** One addon an architecture for which a compiler is here; this machine's own is a must. */
function compileAddons(log: (line: string) => void): void {
  const source = join(root, "runtime/proxy/transport/native/original-dst.c");
  if (!existsSync(source) || process.platform !== "linux") return;
  const headers = join(dirname(dirname(process.execPath)), "include/node");
  for (const [arch, cross] of Object.entries(CROSS_COMPILERS)) {
    const own = arch === process.arch;
    const compiler = own ? "cc" : cross;
    const output = join(dist, "runtime/proxy", bundleAddon(arch));
    if (!isThere(compiler)) {
      if (own) throw new Error("no C compiler: install one (apt-get install gcc)");
      log(
        `build: no ${cross}: this build is for nodes of ${process.arch} only (apt-get install ${missingCrossCompilers()})`,
      );
      continue;
    }
    mkdirSync(dirname(output), { recursive: true });
    const flags = [
      "-shared",
      "-fPIC",
      "-O2",
      "-s",
      "-nostdlib",
      "-ffreestanding",
      "-fno-stack-protector",
      "-Wl,--build-id=none",
    ];
    execFileSync(compiler, [...flags, `-I${headers}`, source, "-o", output], { stdio: "inherit" });
  }
}

function packMain(program: string): void {
  const main = join(dist, "runtime", program, "main.cjs");
  if (!existsSync(main)) return;
  const text = readFileSync(main);
  const packed = brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 22,
      [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
    },
  });
  writeFileSync(join(dist, "runtime", program, BUNDLE_MAIN), packed);
}

function sourceFingerprint(): string {
  const hash = createHash("sha256").update(process.version).update(missingCrossCompilers().join());
  for (const source of SOURCES) {
    const path = join(root, source);
    if (!existsSync(path)) continue;
    for (const file of statSync(path).isDirectory() ? filesIn(path) : [path]) {
      hash
        .update(`${relative(root, file)}\0`)
        .update(readFileSync(file))
        .update("\0");
    }
  }
  return hash.digest("hex");
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { only: { type: "string" }, force: { type: "boolean" } } });
  try {
    build({ ...(values.only === undefined ? {} : { only: values.only }), force: values.force ?? false });
  } catch (error) {
    console.error(`build: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
