/** The demo's only program: `main <agent>`. */
import { calculatorTool, gateway, planner, searchTool, store } from "./agents.ts";
import { load } from "./load.ts";
import type { RunningService } from "./service.ts";

const AGENTS: Readonly<Record<string, () => Promise<RunningService>>> = {
  gateway,
  planner,
  "search-tool": searchTool,
  "calculator-tool": calculatorTool,
  store,
  load,
  // The same stream of questions, from a pod without a proxy.
  client: load,
};

/** New connections arrive until every kube-proxy and proxy has heard that this pod ends: keep answering meanwhile. */
const LAME_DUCK_MS = 2_000;

async function main(): Promise<void> {
  const name = process.argv[2] ?? "";
  const start = AGENTS[name];
  if (start === undefined) {
    console.error(`no agent "${name}"; there are: ${Object.keys(AGENTS).join(", ")}`);
    process.exitCode = 64;
    return;
  }
  const service = await start();
  process.once("SIGTERM", () => {
    console.log(`${name}: SIGTERM, draining`);
    setTimeout(() => void service.drain().then(() => process.exit(0)), service.port === 0 ? 0 : LAME_DUCK_MS);
  });
}

void main();
