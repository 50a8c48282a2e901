/** What `weft help` prints. */
import type { Command } from "../command.ts";

export function formatHelp(commands: Readonly<Record<string, Command>>): string {
  const names = [...Object.keys(commands), "help"];
  const width = Math.max(...names.map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    "Weft is a service mesh: install it, see what passes through it, steer it.",
    "",
    "Usage: weft COMMAND [flags]",
    "",
    ...lines,
    `  ${"help".padEnd(width)}  This, or with a command's name its flags`,
    "",
    "NO_COLOR=1 turns colours off; WEFT_DEBUG=1 shows where an error came from.",
  ].join("\n");
}

export function formatCommandHelp(name: string, command: Command): string {
  const flags = Object.entries(command.help);
  const width = Math.max(...flags.map(([flag]) => flag.length));
  return [
    `${command.summary}.`,
    "",
    `Usage: weft ${name} ${command.usage}`,
    ...(command.details === undefined ? [] : ["", command.details]),
    "",
    ...flags.map(([flag, what]) => `  ${flag.padEnd(width)}  ${what}`),
  ].join("\n");
}
