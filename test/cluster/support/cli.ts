/** Runs `weft` as a person would, without a terminal. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";

const program = resolve(import.meta.dirname, "../../../runtime/cli/main.ts");

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

export function weft(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const began = performance.now();
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, [program, ...argv], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, WEFT_RUNTIME: resolve(import.meta.dirname, "../../../dist/runtime"), ...env },
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => done({ code, stdout, stderr, milliseconds: performance.now() - began }));
  });
}
