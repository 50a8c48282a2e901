/**
 * `npm run test:host`: the suite of test/host inside a real extension host. VS Code is code-server, its window Chromium;
 * the suite is the same file that @vscode/test-electron takes. Ends with one line: N passed, N failed.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Browser } from "playwright-core";
import { launchBrowser } from "../test/ui/support/browser.ts";
import { build } from "./build.ts";
import { installCodeServer } from "./support/code-server.ts";
import { type RunningCodeServer, startCodeServer } from "./support/code-server-process.ts";
import { close, type Tally } from "./support/run-tests.ts";

const root = resolve(import.meta.dirname, "..");
const TIMEOUT_MS = 300_000;

/** Runs beside the suite: its console goes to a file, its end to another (a suite that ends the process counts as failed). */
function wrapper(suite: string, folder: string): string {
  return `const { appendFileSync, writeFileSync } = require("node:fs");
const { format } = require("node:util");
for (const name of ["log", "info", "warn", "error"])
  Object.defineProperty(console, name, { value: (...args) => appendFileSync(${JSON.stringify(join(folder, "output"))}, format(...args) + "\\n") });
exports.run = async () => {
  let result = { failed: true };
  try {
    await require(${JSON.stringify(suite)}).run();
    result = { failed: false };
  } catch (error) {
    console.error(error);
    throw error;
  } finally {
    writeFileSync(${JSON.stringify(join(folder, "result.json"))}, JSON.stringify(result));
  }
};
`;
}

async function runSuite(): Promise<Tally> {
  build();
  const folder = mkdtempSync(join(tmpdir(), "weft-host-"));
  const workspace = join(folder, "workspace");
  mkdirSync(join(workspace, ".vscode"), { recursive: true });
  writeFileSync(join(folder, "output"), "");
  writeFileSync(join(folder, "runner.cjs"), wrapper(join(root, "dist/test/host.cjs"), folder));
  let server: RunningCodeServer | undefined;
  let browser: Browser | undefined;
  try {
    server = await startCodeServer({
      server: await installCodeServer({ log: console.log }),
      testDriver: true,
      env: { KUBECONFIG: join(folder, "no-such-kubeconfig") },
    });
    browser = await launchBrowser();
    const page = await (await browser.newContext()).newPage();
    const ended = new Promise<void>((done) => void page.exposeFunction("codeAutomationExit", () => done()));
    await page.exposeFunction("codeAutomationLog", () => undefined);
    const authority = new URL(server.url).host;
    const remote = (path: string): string => `vscode-remote://${authority}${path}`;
    const payload = JSON.stringify([
      ["extensionDevelopmentPath", remote(root)],
      ["extensionTestsPath", remote(join(folder, "runner.cjs"))],
    ]);
    await page.goto(`${server.url}/?folder=${encodeURIComponent(workspace)}&payload=${encodeURIComponent(payload)}`);
    const late = setTimeout(() => void browser?.close(), TIMEOUT_MS);
    await Promise.race([ended, new Promise((gone) => page.once("close", gone))]);
    clearTimeout(late);
    const output = readFileSync(join(folder, "output"), "utf8");
    console.log(output);
    return tally(output, readResult(folder));
  } finally {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** undefined: the suite never came to its end. */
function readResult(folder: string): boolean | undefined {
  try {
    return !(JSON.parse(readFileSync(join(folder, "result.json"), "utf8")) as { failed: boolean }).failed;
  } catch {
    return undefined;
  }
}

function tally(output: string, good: boolean | undefined): Tally {
  const count = (word: string): number => Number(new RegExp(`^\\s*(\\d+) ${word}`, "m").exec(output)?.[1] ?? 0);
  const [passed, failed] = [count("passing"), count("failing")];
  if (good === undefined) console.error(`the suite did not end within ${TIMEOUT_MS / 1000} s`);
  return { passed, failed: good === true ? failed : Math.max(failed, 1) };
}

try {
  close(await runSuite());
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  close({ passed: 0, failed: 1 });
}
