/**
 * Generates runtime/api/gen from runtime/api/proto with buf and ts-proto; `--check` fails when the committed code
 * differs from what the .proto files give.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const api = join(root, "runtime/api");
const generated = join(api, "gen");

function generateInto(folder: string): void {
  const buf = join(root, "node_modules/.bin/buf");
  execFileSync(buf, ["generate", "--include-imports", "-o", folder], { cwd: api, stdio: "inherit" });
}

function filesOf(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), readFileSync(path, "utf8"));
  }
  return files;
}

const scratch = mkdtempSync(join(tmpdir(), "weft-api-"));
try {
  generateInto(scratch);
  const fresh = join(scratch, "gen");
  if (process.argv.includes("--check")) {
    const expected = filesOf(fresh);
    const actual = filesOf(generated);
    const stale = [...new Set([...expected.keys(), ...actual.keys()])].filter(
      (name) => expected.get(name) !== actual.get(name),
    );
    if (stale.length > 0) {
      console.error(`runtime/api/gen is stale: ${stale.join(", ")}. Run: npm run generate`);
      process.exitCode = 1;
    }
  } else {
    rmSync(generated, { recursive: true, force: true });
    cpSync(fresh, generated, { recursive: true });
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
