#!/usr/bin/env node
/** The `weft` command: parses, connects, runs one command, and says what went wrong. */
import { parseArgs } from "node:util";
import type { Command, Invocation } from "./command.ts";
import { commands } from "./commands.ts";
import { type Connection, connect } from "./connection.ts";
import { exitCode, explain, UsageError } from "./errors.ts";
import { Flags } from "./flags.ts";
import { formatCommandHelp, formatHelp } from "./format/help.ts";
import { Terminal } from "./terminal.ts";

async function main(argv: readonly string[], terminal: Terminal, signal: AbortSignal): Promise<number> {
  const [name = "help", ...rest] = argv;
  if (name === "help" || name === "--help" || name === "-h") return help(rest[0], terminal);
  if (name === "--version") return await run("version", ["--client"], terminal, signal);
  return await run(name, rest, terminal, signal);
}

async function run(name: string, argv: readonly string[], terminal: Terminal, signal: AbortSignal): Promise<number> {
  const command = commandOf(name);
  if (argv.includes("--help") || argv.includes("-h")) return help(name, terminal);
  const { flags, positionals } = parse(command, argv);
  let connection: Connection | undefined;
  const invocation: Invocation = {
    flags,
    positionals,
    terminal,
    signal,
    connect: async () => {
      connection ??= await connect(flags);
      return connection;
    },
  };
  try {
    return await command.run(invocation);
  } finally {
    connection?.close();
  }
}

function parse(command: Command, argv: readonly string[]): { flags: Flags; positionals: string[] } {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: command.options,
      allowPositionals: true,
    });
    return { flags: new Flags(values), positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function commandOf(name: string): Command {
  const command = commands[name];
  if (command === undefined) throw new UsageError(`there is no command "${name}"`);
  return command;
}

function help(name: string | undefined, terminal: Terminal): number {
  terminal.print(name === undefined ? formatHelp(commands) : formatCommandHelp(name, commandOf(name)));
  return 0;
}

function report(error: unknown, terminal: Terminal): number {
  const { message, hint, unforeseen } = explain(error);
  terminal.printError(`${terminal.styleError("red", "×")} ${message}`);
  if (hint !== undefined) terminal.printError(`  ${hint}`);
  if (process.env["WEFT_DEBUG"]) terminal.printError(error instanceof Error ? (error.stack ?? "") : String(error));
  else if (unforeseen) terminal.printError("  WEFT_DEBUG=1 shows where it came from.");
  return error instanceof UsageError ? exitCode.usage : exitCode.failed;
}

const terminal = new Terminal();
const interrupt = new AbortController();
// The second Ctrl-C ends the program whatever it does.
process.once("SIGINT", () => interrupt.abort());
process.once("SIGTERM", () => interrupt.abort());
// A reader that has seen enough (head, less) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
try {
  process.exitCode = await main(process.argv.slice(2), terminal, interrupt.signal);
} catch (error) {
  process.exitCode = interrupt.signal.aborted ? exitCode.interrupted : report(error, terminal);
  if (interrupt.signal.aborted) terminal.printError("Interrupted: what was done so far stays; run it again to go on.");
}
