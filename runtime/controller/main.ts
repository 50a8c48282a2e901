/** The control plane's program: `main controller` and `main viz`, two containers of one pod (DESIGN decision 4). */
import { ConfigError } from "./config/config.ts";
import { createLog, messageOf } from "./config/log.ts";
import { startController } from "./controller.ts";
import { runInPod } from "./run-in-pod.ts";

/** EX_USAGE: nothing but another configuration helps. */
const EXIT_USAGE = 64;
/** Of the 30 s that the pod has. */
const STOP_DEADLINE_MS = 20_000;

async function main(): Promise<void> {
  const log = createLog("controller", process.env["WEFT_LOG_LEVEL"]);
  const die = (error: unknown): void => {
    log.error("the process ends", { reason: messageOf(error) });
    if (error instanceof Error && error.stack !== undefined) console.error(error.stack);
    process.exit(error instanceof ConfigError ? EXIT_USAGE : 1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  const name = process.argv.at(-1);
  switch (name) {
    case "controller":
      await runInPod(log, STOP_DEADLINE_MS, ({ signal, ...options }) => startController({ ...options, log }, signal));
      break;
    case "viz": {
      // Loaded only where it runs: the other process never pays for it.
      const { runViz } = await import("./viz/viz.ts");
      await runViz();
      return;
    }
    default:
      log.error(`no process "${name}"; there are: controller, viz`);
      process.exit(EXIT_USAGE);
  }
  process.exit(0);
}

void main();
