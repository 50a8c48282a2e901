/** `main viz`: the second container of the control plane's pod. */
import { setTimeout as sleep } from "node:timers/promises";
import { LAME_DUCK_MS } from "../config/lame-duck.ts";
import { createLog } from "../config/log.ts";
import { runInPod } from "../run-in-pod.ts";
import { startViz } from "./start-viz.ts";

const TOKEN_FILE = "/var/run/secrets/tokens/linkerd-identity-token";
/** Of the 30 s that the pod has. */
const STOP_DEADLINE_MS = 10_000;

/** Runs until SIGTERM or SIGINT. */
export async function runViz(): Promise<void> {
  const log = createLog("viz", process.env["WEFT_LOG_LEVEL"]);
  await runInPod(log, STOP_DEADLINE_MS, async ({ signal, ...options }) => {
    const viz = await startViz({ ...options, log, tokenFile: TOKEN_FILE }, signal);
    return {
      stop: async () => {
        // The API server may come to this replica until it has heard that it ends.
        await sleep(LAME_DUCK_MS);
        await viz.stop();
      },
    };
  });
}
