/** Programs in Go, built at the versions of their module's go.mod into a folder that git ignores. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { install, onPath } from "../../../scripts/support/preflight.ts";

const root = resolve(import.meta.dirname, "../../..");
const BUILD_TIMEOUT_MS = 300_000;
/** Where Go's own installer puts it: seldom on root's PATH. */
const USUAL_GO = "/usr/local/go/bin/go";

/**
 * Builds what is not built; Go's cache makes a second call short.
 * @param target a package: `./grpc-server`, or one that go.mod requires
 * @param module folder in test/judges/go of a module of its own, where its versions are not the others'
 * @returns the program's path
 * @throws Error with what the compiler said
 */
export function buildGo(target: string, module = "."): string {
  const folder = join(root, ".cache/judges");
  execFileSync(findGo(), ["build", "-o", `${folder}/`, target], {
    cwd: join(root, "test/judges/go", module),
    timeout: BUILD_TIMEOUT_MS,
    stdio: ["ignore", "inherit", "inherit"],
  });
  return join(folder, target === "." ? module : target.slice(target.lastIndexOf("/") + 1));
}

function findGo(): string {
  if (onPath("go")) return "go";
  if (existsSync(USUAL_GO)) return USUAL_GO;
  install(["golang-go"]);
  return "go";
}
