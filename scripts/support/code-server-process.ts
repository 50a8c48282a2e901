/** One running code-server: a home of its own, a free port on loopback, ended with everything it started. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CodeServer, CodeServerError } from "./code-server.ts";

const START_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 5_000;

export interface StartOptions {
  readonly server: CodeServer;
  /** A .vsix, installed as a user would. */
  readonly vsix?: string;
  /** A folder that holds an extension, used as it lies there; `id`: `publisher.name-version`. */
  readonly extension?: { readonly id: string; readonly folder: string };
  /** User settings beyond {@link QUIET_SETTINGS}. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** For everything that runs in it, the extension too. */
  readonly env?: Readonly<Record<string, string>>;
  /** 0 or absent: a free one. */
  readonly port?: number;
  /** Where its home lies; default a new folder, removed at the end. A given one is kept. */
  readonly home?: string;
  /** Lets tests run in the extension host (and suppresses notifications). */
  readonly testDriver?: boolean;
  readonly signal?: AbortSignal;
}

export interface RunningCodeServer {
  /** `http://127.0.0.1:<port>`; `/?folder=<absolute path>` opens a folder. */
  readonly url: string;
  readonly port: number;
  readonly home: string;
  /** Replaces the user's settings; open windows take them up by themselves. */
  writeSettings(settings: Readonly<Record<string, unknown>>): void;
  /** What it wrote so far, its last 20,000 characters. */
  output(): string;
  close(): Promise<void>;
}

/** Settings that keep a new window free of what is not asked for. */
export const QUIET_SETTINGS: Readonly<Record<string, unknown>> = {
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.colorTheme": "Default Dark Modern",
  "workbench.enableExperiments": false,
  "chat.disableAIFeatures": true,
  "chat.commandCenter.enabled": false,
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "extensions.ignoreRecommendations": true,
  "update.mode": "none",
  "telemetry.telemetryLevel": "off",
  "remote.autoForwardPorts": false,
  "git.enabled": false,
  "security.workspace.trust.enabled": false,
  "window.menuBarVisibility": "compact",
};

/** @throws CodeServerError with its output where it does not answer */
export async function startCodeServer(options: StartOptions): Promise<RunningCodeServer> {
  const home = options.home ?? mkdtempSync(join(tmpdir(), "weft-cs-"));
  const own = options.home === undefined;
  const folders = prepare(home, options);
  const env = environment(home, options.env ?? {});
  const common = [
    options.server.entry,
    "--config",
    folders.config,
    "--user-data-dir",
    folders.data,
    "--extensions-dir",
    folders.extensions,
  ];
  try {
    if (options.vsix !== undefined) await installExtension(common, options.vsix, env);
    const child = spawn(process.execPath, [...common, ...serverFlags(options)], {
      env,
      cwd: home,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const said = collectOutput(child);
    const close = async (): Promise<void> => {
      await endGroup(child);
      if (own) rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    };
    try {
      const port = await waitUntilUp(child, said, options.signal);
      const write = (settings: Readonly<Record<string, unknown>>): void => writeSettings(folders.data, settings);
      return { url: `http://127.0.0.1:${port}`, port, home, writeSettings: write, output: said, close };
    } catch (error) {
      await close();
      throw error;
    }
  } catch (error) {
    if (own) rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }
}

function prepare(home: string, options: StartOptions): { config: string; data: string; extensions: string } {
  const config = join(home, "code-server.yaml");
  const data = join(home, "data");
  const extensions = join(home, "extensions");
  for (const folder of [
    join(data, "User"),
    join(data, "Machine"),
    extensions,
    join(home, "tmp"),
    join(home, "run"),
    join(home, "home"),
  ])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(config, "auth: none\ncert: false\n");
  writeSettings(data, options.settings ?? {});
  if (options.extension !== undefined) {
    const link = join(extensions, options.extension.id);
    rmSync(link, { recursive: true, force: true });
    symlinkSync(options.extension.folder, link);
  }
  return { config, data, extensions };
}

function writeSettings(data: string, settings: Readonly<Record<string, unknown>>): void {
  const text = JSON.stringify({ ...QUIET_SETTINGS, ...settings }, undefined, 2);
  // The window counts as remote: settings of scope "machine" are read from the second of them only.
  for (const scope of ["User", "Machine"]) writeFileSync(join(data, scope, "settings.json"), text);
}

function serverFlags(options: StartOptions): string[] {
  return [
    "--auth",
    "none",
    "--disable-telemetry",
    "--disable-update-check",
    "--disable-workspace-trust",
    "--disable-getting-started-override",
    "--disable-proxy",
    "--bind-addr",
    `127.0.0.1:${options.port ?? 0}`,
    ...(options.testDriver === true ? ["--vscode-option", "enable-smoke-test-driver"] : []),
  ];
}

/** Without what another VS Code or npm left in ours; sockets and caches in the home. */
function environment(home: string, extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VSCODE_|CODE_SERVER_|npm_|NODE_OPTIONS$|NODE_TEST|PORT$|PASSWORD$|ELECTRON_)/i.test(name),
  );
  return {
    ...Object.fromEntries(inherited),
    HOME: join(home, "home"),
    TMPDIR: join(home, "tmp"),
    XDG_RUNTIME_DIR: join(home, "run"),
    XDG_CONFIG_HOME: join(home, "home/.config"),
    XDG_DATA_HOME: join(home, "home/.local/share"),
    XDG_CACHE_HOME: join(home, "home/.cache"),
    XDG_STATE_HOME: join(home, "home/.local/state"),
    EXTENSIONS_GALLERY: "{}",
    ...extra,
  };
}

async function installExtension(common: readonly string[], vsix: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, [...common, "--install-extension", vsix], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = collectOutput(child);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new CodeServerError(`${vsix} was not installed:\n${said().trim()}`);
}

function collectOutput(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text = (text + chunk).slice(-20_000);
    });
  }
  return () => text;
}

/** Its health page answers before the window can be had: only a 200 of the window itself counts. */
async function waitUntilUp(child: ChildProcess, said: () => string, signal: AbortSignal | undefined): Promise<number> {
  const until = Date.now() + START_TIMEOUT_MS;
  let failure: Error | undefined;
  child.once("error", (error) => {
    failure = error;
  });
  while (Date.now() < until) {
    signal?.throwIfAborted();
    if (failure !== undefined || child.exitCode !== null)
      throw new CodeServerError(`code-server ended at its start: ${failure?.message ?? ""}\n${said().trim()}`);
    const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/i.exec(said())?.[1];
    if (port !== undefined && (await answers(`http://127.0.0.1:${port}/`))) return Number(port);
    await sleep(100);
  }
  throw new CodeServerError(`code-server did not answer within ${START_TIMEOUT_MS / 1000} s:\n${said().trim()}`);
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

async function endGroup(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  const alive = (): boolean => {
    try {
      process.kill(-pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!alive()) return;
    process.kill(-pid, signal);
    const until = Date.now() + END_TIMEOUT_MS;
    while (alive() && Date.now() < until) await sleep(50);
  }
}
