/** VS Code with the extension in it, on a folder whose settings name the sandbox's kubeconfig: the desktop one, else one in the browser. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { installCodeServer } from "./code-server.ts";
import { startCodeServer } from "./code-server-process.ts";
import { onPath } from "./preflight.ts";

const root = resolve(import.meta.dirname, "../..");
const FIRST_STEPS = "# Weft's demo\n\nOpen the Weft view in the activity bar and click *Connect*.\n";
/** Where the editor in the browser is looked for; another one where it is taken. */
const PREFERRED_PORT = 8780;

export interface EditorOptions {
  readonly kubeconfig: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface Editor {
  /** One line: where it is and what to do there. */
  readonly hint: string;
  close(): Promise<void>;
}

/** @throws Error where neither kind of editor can be had */
export async function openEditor(options: EditorOptions): Promise<Editor> {
  const scratch = mkdtempSync(join(tmpdir(), "weft-editor-"));
  const workspace = join(scratch, "weft-demo");
  mkdirSync(join(workspace, ".vscode"), { recursive: true });
  const settings = { "weft.kubeconfig": options.kubeconfig };
  writeFileSync(join(workspace, ".vscode/settings.json"), `${JSON.stringify(settings, undefined, 2)}\n`);
  writeFileSync(join(workspace, "README.md"), FIRST_STEPS);
  const remove = (): void => rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
  try {
    return hasDesktopCode()
      ? openDesktop(workspace, scratch, options, remove)
      : await openInBrowser(workspace, options, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

interface Manifest {
  readonly name: string;
  readonly publisher: string;
  readonly version: string;
  readonly engines: { readonly vscode: string };
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
}

/** A desktop VS Code as new as the extension needs, and a screen to show it on. */
function hasDesktopCode(): boolean {
  if (!onPath("code") || !(process.env["DISPLAY"] || process.env["WAYLAND_DISPLAY"])) return false;
  const { stdout } = spawnSync("code", ["--version"], { encoding: "utf8", timeout: 10_000 });
  const numbers = (text: string): number[] => (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const [major = 0, minor = 0] = numbers(stdout ?? "");
  const [wantedMajor = 0, wantedMinor = 0] = numbers(manifest().engines.vscode);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function openDesktop(workspace: string, scratch: string, { log }: EditorOptions, remove: () => void): Editor {
  log("opening VS Code");
  const data = join(scratch, "user-data");
  // VS Code refuses to run as root without a folder of its own for its data.
  const child = spawn(
    "code",
    [
      "--wait",
      "--new-window",
      "--user-data-dir",
      data,
      "--extensions-dir",
      join(scratch, "extensions"),
      `--extensionDevelopmentPath=${root}`,
      "--disable-workspace-trust",
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      workspace,
    ],
    { stdio: "ignore", detached: true },
  );
  child.on("error", (error) => log(`VS Code did not start: ${error.message}`));
  return {
    hint: "VS Code is open: click Connect in the Weft view",
    close: async () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGTERM");
      remove();
    },
  };
}

async function openInBrowser(workspace: string, options: EditorOptions, remove: () => void): Promise<Editor> {
  const { log, signal } = options;
  const server = await installCodeServer({ log, signal });
  const { publisher, name, version } = manifest();
  const extension = { id: `${publisher}.${name}-${version}`, folder: root };
  if (!existsSync(join(root, "dist/extension/main.cjs"))) throw new Error("dist/extension is missing: npm run build");
  const start = (port: number): ReturnType<typeof startCodeServer> =>
    startCodeServer({ server, extension, port, signal });
  let running: Awaited<ReturnType<typeof start>>;
  try {
    running = await start(PREFERRED_PORT);
  } catch (error) {
    if (signal.aborted || !/EADDRINUSE/.test(String(error))) throw error;
    running = await start(0);
  }
  return {
    hint: `VS Code is at ${running.url}/?folder=${encodeURIComponent(workspace)} : click Connect in the Weft view`,
    close: async () => {
      await running.close();
      remove();
    },
  };
}
