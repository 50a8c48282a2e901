/** The sidecar's program: reads its environment, starts a proxy, ends it on SIGTERM. */
import { readConfig } from "./config/config.ts";
import { ConfigError, EX_USAGE } from "./config/environment.ts";
import { describeError, Log } from "./log.ts";
import { SidecarProxy } from "./proxy.ts";

/** sysexits.h: an error of the program's own. */
const EX_SOFTWARE = 70;

function main(): void {
  let log = new Log("info", "plain");
  const fail = (error: unknown): never => {
    const usage = error instanceof ConfigError;
    log.logger("linkerd_proxy").error(usage ? describeError(error) : `ended by an error: ${trace(error)}`);
    process.exit(usage ? EX_USAGE : EX_SOFTWARE);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  const config = readConfig(process.env);
  log = new Log(config.log.filter, config.log.format);
  const end = (why: string): void => {
    log.logger("linkerd_proxy").info(`${why}: draining for at most ${config.shutdown.graceMs / 1000} s`);
    proxy.end(config.shutdown.graceMs).then(() => process.exit(0), fail);
  };
  const proxy = new SidecarProxy({
    config,
    environment: process.env,
    log,
    onShutdown: () => end("shutdown asked for"),
  });
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGINT", () => end("SIGINT"));
  proxy.start().catch(fail);
}

/** The first places of the stack are worth the length of the line: nobody can ask again. */
function trace(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const places = stack
    .split("\n")
    .filter((line) => line.trimStart().startsWith("at "))
    .slice(0, 4)
    .map((line) => line.trim());
  return `${describeError(error)}${places.length > 0 ? ` (${places.join("; ")})` : ""}`;
}

main();
