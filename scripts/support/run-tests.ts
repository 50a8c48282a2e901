import { spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

export interface Tally {
  readonly passed: number;
  readonly failed: number;
}

export interface TestGroup {
  readonly title: string;
  /** Globs from the project's root. */
  readonly files: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Files at once; 1 where they share a cluster. */
  readonly concurrency?: number;
  /** Of one test, milliseconds. */
  readonly timeoutMs?: number;
}

/** Runs a group by node:test, its output passed through. A group without files, or one that reports nothing, counts as one failure. */
export async function runTests(group: TestGroup): Promise<Tally> {
  console.log(`\n== ${group.title}`);
  const files = group.files.flatMap((pattern) => globSync(pattern, { cwd: root })).sort();
  if (files.length === 0) {
    console.log(`no test file matches ${group.files.join(", ")}`);
    return { passed: 0, failed: 1 };
  }
  const scratch = mkdtempSync(join(tmpdir(), "weft-tests-"));
  const tally = join(scratch, "tally.json");
  try {
    const code = await exitCode(
      [
        "--test",
        `--test-concurrency=${group.concurrency ?? 2}`,
        `--test-timeout=${group.timeoutMs ?? 120_000}`,
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
        `--test-reporter=${join(root, "scripts/support/tally-reporter.ts")}`,
        `--test-reporter-destination=${tally}`,
        ...files,
      ],
      group.env ?? {},
    );
    const counted = JSON.parse(readFileSync(tally, "utf8")) as Tally;
    // A run that failed without a failed test (a hook, a crash at the end) is still a failure.
    return code !== 0 && counted.failed === 0 ? { passed: counted.passed, failed: 1 } : counted;
  } catch (error) {
    console.error(`the run reported nothing: ${error instanceof Error ? error.message : String(error)}`);
    return { passed: 0, failed: 1 };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

export function sum(tallies: readonly Tally[]): Tally {
  return tallies.reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed }), {
    passed: 0,
    failed: 0,
  });
}

/** The closing line that CI reads; sets the exit code. */
export function close(tally: Tally): void {
  console.log(`\n${tally.passed} passed, ${tally.failed} failed`);
  process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1;
}

function exitCode(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  return new Promise((resolvePromise, reject) => {
    const child = spawn(process.execPath, argv, {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...env },
    });
    child.on("error", reject);
    child.on("exit", (code) => resolvePromise(code ?? 1));
  });
}
