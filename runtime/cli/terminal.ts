/** What the command prints and asks. */
import { createInterface } from "node:readline/promises";
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

export class Terminal {
  readonly #input: NodeJS.ReadStream;
  readonly #output: NodeJS.WriteStream;
  readonly #errors: NodeJS.WriteStream;

  constructor(
    streams: {
      readonly input?: NodeJS.ReadStream;
      readonly output?: NodeJS.WriteStream;
      readonly errors?: NodeJS.WriteStream;
    } = {},
  ) {
    this.#input = streams.input ?? process.stdin;
    this.#output = streams.output ?? process.stdout;
    this.#errors = streams.errors ?? process.stderr;
  }

  /** Is somebody there to be asked? */
  get interactive(): boolean {
    return this.#input.isTTY === true && this.#output.isTTY === true;
  }

  /** Can a line be written over? */
  get live(): boolean {
    return this.#output.isTTY === true && process.env["TERM"] !== "dumb";
  }

  get columns(): number {
    return this.#output.columns ?? 80;
  }

  print(line = ""): void {
    this.#output.write(`${line}\n`);
  }

  write(text: string): void {
    this.#output.write(text);
  }

  /** For people only: what a program reads from stdout stays clean. */
  printError(line: string): void {
    this.#errors.write(`${line}\n`);
  }

  /** Colour where the terminal shows it and nobody set NO_COLOR. */
  style(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#output });
  }

  styleError(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#errors });
  }

  /** Yes only for `y` or `yes`. */
  async confirm(question: string, signal?: AbortSignal): Promise<boolean> {
    const lines = createInterface({ input: this.#input, output: this.#output });
    // In raw mode Ctrl-C reaches readline only, which would drop the question without an answer.
    lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    try {
      const answer = await lines.question(`${question} [y/N] `, signal === undefined ? {} : { signal });
      return /^y(es)?$/i.test(answer.trim());
    } finally {
      lines.close();
    }
  }
}
