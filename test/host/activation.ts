import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "mocha";
import { commands, extensions, Uri, workspace } from "vscode";
import { command, EXTENSION_ID, SETTINGS_SECTION, setting } from "../../extension/contributions.ts";
import { activated } from "./extension.ts";

/** DESIGN's budget: own code before the first cluster call. */
const ACTIVATION_MS = 50;

export function activationSuite(): void {
  describe("activation", () => {
    it("takes less than its budget, its code loaded and run", async () => {
      const extension = extensions.getExtension(EXTENSION_ID);
      assert.ok(extension, EXTENSION_ID);
      const wall = performance.now();
      await activated();
      const wallMs = performance.now() - wall;
      const loadMs = loadTime(join(extension.extensionPath, "dist/extension/main.cjs"));
      const activateMs = performance.getEntriesByName("weft.activate")[0]?.duration ?? Number.NaN;
      console.log(
        `      load ${loadMs.toFixed(1)} ms, activate ${activateMs.toFixed(1)} ms, with VS Code's part ${wallMs.toFixed(0)} ms`,
      );
      assert.ok(loadMs + activateMs <= ACTIVATION_MS, `${loadMs + activateMs} ms`);
    });

    it("registers every command", async () => {
      await activated();
      const known = new Set(await commands.getCommands(true));
      for (const id of Object.values(command)) assert.ok(known.has(id), id);
    });

    it("has its settings with their defaults", () => {
      const section = workspace.getConfiguration(SETTINGS_SECTION);
      for (const name of Object.values(setting)) assert.notEqual(section.inspect(name)?.defaultValue, undefined, name);
    });

    it("brings the programs along that an install needs", async () => {
      const extension = extensions.getExtension(EXTENSION_ID);
      assert.ok(extension, EXTENSION_ID);
      for (const path of ["loader.cjs", "proxy/main.cjs.br", "controller/main.cjs.br", "demo/main.cjs"]) {
        const { size } = await workspace.fs.stat(Uri.joinPath(extension.extensionUri, "dist/runtime", path));
        assert.ok(size > 1_000, path);
      }
    });
  });
}

/** Milliseconds to compile and evaluate the main bundle in a process that never saw it; its chunks come on demand. */
function loadTime(file: string): number {
  const script = `
    const Module = require("node:module");
    const load = Module._load;
    Module._load = (name, ...rest) => (name === "vscode" ? {} : load(name, ...rest));
    const began = performance.now();
    require(${JSON.stringify(file)});
    console.log(performance.now() - began);`;
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: "1" };
  const times = Array.from({ length: 3 }, () =>
    Number(execFileSync(process.execPath, ["-e", script], { env, encoding: "utf8" })),
  );
  return Math.min(...times);
}
