/** The C programs of the bench, compiled when it starts. */
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";

const sources = join(import.meta.dirname, "../native");

export interface NativePrograms {
  /** Paths of programs, and of an addon that Node requires. */
  readonly load: string;
  readonly backend: string;
  readonly turns: string;
}

export function compileNative(folder: string): NativePrograms {
  const program = (name: string): string => {
    execFileSync("cc", ["-O2", join(sources, `${name}.c`), "-o", join(folder, name)], { stdio: "inherit" });
    return join(folder, name);
  };
  const turns = join(folder, "turns.node");
  const headers = join(dirname(dirname(process.execPath)), "include/node");
  execFileSync("cc", ["-shared", "-fPIC", "-O2", `-I${headers}`, join(sources, "turns.c"), "-o", turns], {
    stdio: "inherit",
  });
  return { load: program("load"), backend: program("backend"), turns };
}
