/** All commands by name, in the order of the help. */
import type { Command } from "./command.ts";
import { check } from "./commands/check.ts";
import { demo } from "./commands/demo.ts";
import { edges } from "./commands/edges.ts";
import { inject, uninject } from "./commands/inject.ts";
import { install } from "./commands/install.ts";
import { stat } from "./commands/stat.ts";
import { tap } from "./commands/tap.ts";
import { uninstall } from "./commands/uninstall.ts";
import { version } from "./commands/version.ts";

export const commands: Readonly<Record<string, Command>> = {
  check,
  stat,
  edges,
  tap,
  install,
  uninstall,
  inject,
  uninject,
  demo,
  version,
};
