/**
 * The sandbox's command line:
 *
 *   up      start it (3 s), print the line that sets KUBECONFIG
 *   down    end it and remove all it made
 *   env     print that line:  eval "$(npm run -s sandbox -- env)"
 *   status  nodes, pods, memory
 *
 * Its state is under $WEFT_SANDBOX_HOME (default: weft/sandbox in the user's cache).
 */
import { serve } from "./serve.ts";
import { sandboxState } from "./state.ts";
import { down, environment, requireUp, SandboxError, status, up } from "./verbs.ts";

const USAGE = "usage: npm run sandbox -- up | down | env | status";
const EX_USAGE = 64;

async function run(verb: string | undefined): Promise<number> {
  const state = sandboxState();
  switch (verb) {
    case "up":
      if ((await up(state)) === "already up") console.error("already up");
      console.log(environment(state));
      return 0;
    case "down":
      await down(state);
      return 0;
    case "env":
      requireUp(state);
      console.log(environment(state));
      return 0;
    case "status":
      for (const line of await status(state)) console.log(line);
      return 0;
    case "serve":
      await serve(state, Number(process.env["WEFT_SANDBOX_PORT"] ?? 0));
      return -1;
    default:
      console.error(USAGE);
      return EX_USAGE;
  }
}

try {
  const code = await run(process.argv[2]);
  // -1: it serves, until a signal ends it.
  if (code >= 0) process.exitCode = code;
} catch (error) {
  console.error(error instanceof SandboxError ? error.message : error);
  process.exit(1);
}
