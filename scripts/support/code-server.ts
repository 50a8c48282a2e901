/**
 * A real VS Code in the browser: code-server, fetched from the npm registry on demand into a cache outside the repo
 * (`$XDG_CACHE_HOME/weft`, about 300 MB). What takes long or needs libraries that nothing here uses is not built.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Carries VS Code 1.139.1. */
const VERSION = "4.139.1";
const NODE_MAJOR = 24;
/** One step of an installation; the registry may be slow, a compiler too. */
const STEP_TIMEOUT_MS = 10 * 60_000;
const LOCK_POLL_MS = 500;

export interface CodeServer {
  /** The script that Node 24 runs. */
  readonly entry: string;
  readonly version: string;
}

export class CodeServerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CodeServerError";
  }
}

export interface InstallOptions {
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Where {@link installCodeServer} keeps things. */
export function cacheFolder(): string {
  const base = process.env["XDG_CACHE_HOME"];
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "weft");
}

/** Is it there already? */
export function hasCodeServer(): boolean {
  return existsSync(entryIn(finalFolder()));
}

/**
 * Installs code-server where it is not there yet: under a lock, so that two callers do it once; an installation that was
 * interrupted goes on with the step it was in.
 * @throws CodeServerError naming the step and what it said
 */
export async function installCodeServer(options: InstallOptions = {}): Promise<CodeServer> {
  const installed: CodeServer = { entry: entryIn(finalFolder()), version: VERSION };
  if (hasCodeServer()) return installed;
  requireMachine();
  const log = options.log ?? (() => undefined);
  const lock = await takeLock(log, options.signal);
  try {
    if (!hasCodeServer()) await install(log, options.signal);
    return installed;
  } finally {
    lock.close();
  }
}

const finalFolder = (): string => join(cacheFolder(), `code-server-${VERSION}`);
const entryIn = (folder: string): string => join(folder, "node_modules/code-server/out/node/entry.js");

function requireMachine(): void {
  if (process.platform !== "linux")
    throw new CodeServerError(
      `code-server is run on Linux only (this is ${process.platform}). Use desktop VS Code: npm run package, then code --install-extension weft-*.vsix`,
    );
  const major = Number(process.versions.node.split(".")[0]);
  if (major !== NODE_MAJOR)
    throw new CodeServerError(
      `code-server needs Node ${NODE_MAJOR}, this is ${process.version}. Run it by npm run, which takes the project's own Node.`,
    );
}

interface Step {
  readonly name: string;
  /** Removed before the step is tried again: npm does not recover from its own half-done work. */
  readonly leaves: string;
  readonly run: (folder: string, signal: AbortSignal | undefined) => Promise<void>;
}

const vscode = (folder: string): string => join(folder, "node_modules/code-server/lib/vscode");
const NPM_FLAGS = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];

const STEPS: readonly Step[] = [
  {
    name: "fetching code-server",
    leaves: "node_modules",
    run: (folder, signal) => npm(folder, ["install", `code-server@${VERSION}`, ...NPM_FLAGS], signal),
  },
  {
    name: "fetching what VS Code's server needs",
    leaves: "node_modules/code-server/lib/vscode/node_modules",
    run: (folder, signal) => npm(vscode(folder), ["install", ...NPM_FLAGS], signal),
  },
  {
    name: "fetching what its extensions need",
    leaves: "node_modules/code-server/lib/vscode/extensions/node_modules",
    run: (folder, signal) => npm(join(vscode(folder), "extensions"), ["install", ...NPM_FLAGS], signal),
  },
  {
    // Without spdlog output channels stay empty; without the watchdog an orphaned extension host lives on.
    name: "compiling two native modules",
    leaves: "node_modules/code-server/lib/vscode/node_modules/@vscode/spdlog/build",
    run: (folder, signal) => npm(vscode(folder), ["rebuild", "@vscode/spdlog", "@vscode/native-watchdog"], signal),
  },
  { name: "trimming", leaves: "no-such-folder", run: async (folder) => trim(vscode(folder)) },
];

async function install(log: (line: string) => void, signal: AbortSignal | undefined): Promise<void> {
  const folder = `${finalFolder()}.partial`;
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, "package.json")))
    writeFileSync(join(folder, "package.json"), `${JSON.stringify({ name: "weft-code-server", private: true })}\n`);
  for (const [index, step] of STEPS.entries()) {
    const done = join(folder, `step-${index + 1}.done`);
    if (existsSync(done)) continue;
    log(`code-server: ${step.name} (${index + 1} of ${STEPS.length})`);
    rmSync(join(folder, step.leaves), { recursive: true, force: true });
    await step.run(folder, signal);
    writeFileSync(done, "");
  }
  if (!existsSync(entryIn(folder)))
    throw new CodeServerError(`code-server ${VERSION} lacks ${entryIn(folder)}; remove ${folder} and try again`);
  renameSync(folder, finalFolder());
}

function npm(cwd: string, argv: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const nodeHome = dirname(dirname(process.execPath));
  const env: NodeJS.ProcessEnv = {
    // Settings of the npm that runs us (workspace, prefix, ...) must not reach another project's install.
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^npm_(?!config_(registry|cache)$)/.test(name)),
    ),
    PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
    npm_config_update_notifier: "false",
    ...(existsSync(join(nodeHome, "include/node/node.h")) ? { npm_config_nodedir: nodeHome } : {}),
  };
  return new Promise((resolve, reject) => {
    const child = spawn("npm", argv, {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: STEP_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-4_000);
      });
    }
    child.once("error", (error) => reject(new CodeServerError(`npm ${argv[0]} could not run: ${error.message}`)));
    child.once("close", (code, signalName) => {
      if (code === 0) return resolve();
      const how = code === null ? `was ended by ${signalName}` : `failed with exit code ${code}`;
      reject(new CodeServerError(`npm ${argv.join(" ")} in ${cwd} ${how}:\n${said.trim()}`));
    });
  });
}

/** Assistants, sign-in helpers, binaries of other platforms: nothing that Weft or its tests use, half of the size. */
function trim(folder: string): void {
  const away = [
    "extensions/copilot",
    "extensions/mermaid-markdown-features",
    "extensions/microsoft-authentication",
    "extensions/tunnel-forwarding",
    "node_modules/@github",
    "node_modules/@microsoft/mxc-sdk",
    "node_modules/@vscode/windows-process-tree",
    "node_modules/node-pty/third_party",
  ];
  for (const path of away) rmSync(join(folder, path), { recursive: true, force: true });
  const prebuilds = join(folder, "node_modules/node-pty/prebuilds");
  if (!existsSync(prebuilds)) return;
  for (const name of readdirSync(prebuilds)) {
    if (!name.startsWith(`${process.platform}-${process.arch}`)) rmSync(join(prebuilds, name), { recursive: true });
  }
}

/** An abstract socket: the kernel releases it however its owner ends. */
async function takeLock(log: (line: string) => void, signal: AbortSignal | undefined): Promise<Server> {
  let said = false;
  for (;;) {
    const server = await listen(`\0weft-code-server-${process.getuid?.() ?? 0}`);
    if (server !== undefined) return server;
    if (!said) log("code-server: waiting for another process that installs it");
    said = true;
    await sleep(LOCK_POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.unref();
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen({ path }, () => resolve(server));
  });
}
