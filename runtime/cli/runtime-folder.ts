/** Where the programs are that an install carries into the cluster. */
import { existsSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** `WEFT_RUNTIME`, or dist/runtime beside the program, whether it runs from dist/cli or from its source. */
export function runtimeFolder(env: NodeJS.ProcessEnv = process.env, program = process.argv[1] ?? ""): string {
  const named = env["WEFT_RUNTIME"];
  if (named !== undefined && named !== "") return resolve(named);
  const folder = dirname(existsSync(program) ? realpathSync(program) : resolve(program));
  const beside = join(folder, "../runtime");
  return existsSync(join(beside, "loader.cjs")) ? beside : resolve(folder, "../../dist/runtime");
}
