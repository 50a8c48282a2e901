/**
 * `npm run package`: the VSIX, with the runtime inside. Nothing of it is fetched at run time.
 *
 *   node scripts/package.ts [--out FILE]
 */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createVSIX, listFiles } from "@vscode/vsce";
import manifest from "../package.json" with { type: "json" };
import { build, missingCrossCompilers } from "./build.ts";
import { install } from "./support/preflight.ts";

const root = resolve(import.meta.dirname, "..");
const MAX_BYTES = 5 * 1024 * 1024;
/** What an install needs besides the extension itself. */
const REQUIRED = [
  "dist/extension/main.cjs",
  "dist/webviews/tap.js",
  "dist/webviews/plan.js",
  "dist/runtime/loader.cjs",
  "dist/runtime/proxy/main.cjs.br",
  "dist/runtime/controller/main.cjs.br",
  "dist/runtime/demo/main.cjs",
  "snippets/mesh.json",
];

export interface Vsix {
  readonly path: string;
  readonly bytes: number;
  readonly files: readonly string[];
}

/** Builds what is stale and packs it. @throws Error where a part is missing or the size is over budget */
export async function packageExtension(
  options: { readonly out?: string; readonly log?: (line: string) => void } = {},
): Promise<Vsix> {
  const path = resolve(options.out ?? join(root, `${manifest.name}-${manifest.version}.vsix`));
  build(options.log === undefined ? {} : { log: options.log });
  const files = await listFiles({ cwd: root });
  const missing = REQUIRED.filter((file) => !files.includes(file));
  if (!files.some((file) => /^dist\/runtime\/proxy\/original-dst-\w+\.node$/.test(file)))
    missing.push("dist/runtime/proxy/original-dst-<arch>.node");
  if (missing.length > 0) throw new Error(`the VSIX would lack ${missing.join(", ")}: run npm run build -- --force`);
  mkdirSync(dirname(path), { recursive: true });
  await createVSIX({
    cwd: root,
    packagePath: path,
    dependencies: false,
    allowMissingRepository: true,
    rewriteRelativeLinks: false,
  });
  const { size } = statSync(path);
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes, more than the ${MAX_BYTES} that it may have`);
  return { path, bytes: size, files };
}

/** What ships runs on nodes of either processor: where this process may, it installs the other's compiler. */
function installCrossCompilers(): void {
  const missing = missingCrossCompilers();
  if (missing.length === 0 || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return;
  console.log(`installing ${missing.join(" ")}`);
  install(missing);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { out: { type: "string" } } });
  try {
    installCrossCompilers();
    const { path, bytes, files } = await packageExtension(values.out === undefined ? {} : { out: values.out });
    console.log(`${path}: ${files.length} files, ${(bytes / 1024 / 1024).toFixed(2)} MB`);
  } catch (error) {
    console.error(`package: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
