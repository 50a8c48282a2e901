import { UsageError } from "./errors.ts";

/** Parsed flags, by their long names. */
export class Flags {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  is(name: string): boolean {
    return this.#values[name] === true;
  }

  /** @throws UsageError where the flag's value is none of `choices` */
  choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new UsageError(`--${name} is one of ${choices.join(", ")}, not "${value}"`);
    return found;
  }

  /** @throws UsageError where the flag's value is no whole number of at least `least` */
  count(name: string, least: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (!Number.isSafeInteger(number) || number < least) {
      throw new UsageError(`--${name} is a whole number of at least ${least}, not "${value}"`);
    }
    return number;
  }
}
