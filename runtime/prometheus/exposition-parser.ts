/**
 * Reads exposition text as it arrives: Prometheus text format 0.0.4 and OpenMetrics 1.0, also mixed in one document, as
 * Linkerd's proxies write it (reference 7.1). Timestamps and exemplars are read over.
 */

/** Labels of the sample being told of; the object is reused for the next sample. */
export interface SampleLabels {
  /** undefined: the sample has no such label. */
  get(name: string): string | undefined;
  readonly size: number;
  /** A number (50 bits) that all samples with these labels share, `except` and its value left out of account. */
  fingerprint(except?: string): number;
  entries(): IterableIterator<readonly [name: string, value: string]>;
}

export interface SampleVisitor {
  /** Asked once for each name of a sample (`response_latency_ms_bucket`…): false skips its lines unread. */
  wants(name: string): boolean;
  sample(name: string, labels: SampleLabels, value: number): void;
}

/** Longer is no exposition text. */
const MAX_LINE = 256 * 1024;

export class ExpositionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ExpositionError";
  }
}

export class ExpositionParser {
  /** Lines that are neither comment nor sample; they are skipped. */
  malformed = 0;

  readonly #visitor: SampleVisitor;
  readonly #wanted = new Map<string, boolean>();
  readonly #labels = new ReusedLabels();
  #rest = "";

  constructor(visitor: SampleVisitor) {
    this.#visitor = visitor;
  }

  /**
   * Takes the next piece, split anywhere between characters.
   * @throws ExpositionError for a line without end
   */
  push(piece: string): void {
    const text = this.#rest === "" ? piece : this.#rest + piece;
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      this.#line(text, start, end);
      start = end + 1;
    }
    this.#rest = text.slice(start);
    if (this.#rest.length > MAX_LINE) throw new ExpositionError(`a line of more than ${MAX_LINE} characters`);
  }

  /** The document is complete: its last line may lack an end. */
  end(): void {
    if (this.#rest !== "") this.#line(this.#rest, 0, this.#rest.length);
    this.#rest = "";
  }

  #line(text: string, from: number, to: number): void {
    let end = to;
    if (text.charCodeAt(end - 1) === CARRIAGE_RETURN) end--;
    const start = skipBlanks(text, from, end);
    if (start === end || text.charCodeAt(start) === HASH) return;
    let nameEnd = start;
    while (nameEnd < end && isNameCharacter(text.charCodeAt(nameEnd))) nameEnd++;
    const name = text.slice(start, nameEnd);
    if (name === "") {
      this.malformed++;
      return;
    }
    let wanted = this.#wanted.get(name);
    if (wanted === undefined) {
      wanted = this.#visitor.wants(name);
      this.#wanted.set(name, wanted);
    }
    if (!wanted) return;
    const value = this.#sample(text, nameEnd, end);
    if (value === undefined) this.malformed++;
    else this.#visitor.sample(name, this.#labels, value);
  }

  /** Fills the labels; @returns the value, undefined where the line is none of a sample */
  #sample(text: string, from: number, end: number): number | undefined {
    const labels = this.#labels;
    labels.clear();
    let at = skipBlanks(text, from, end);
    if (text.charCodeAt(at) === OPEN_BRACE) {
      at = readLabels(text, at + 1, end, labels);
      if (at === -1) return undefined;
    } else if (at === from) {
      return undefined;
    }
    at = skipBlanks(text, at, end);
    let valueEnd = at;
    while (valueEnd < end && !isBlank(text.charCodeAt(valueEnd))) valueEnd++;
    return parseValue(text.slice(at, valueEnd));
  }
}

const HASH = 0x23;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const EQUALS = 0x3d;
const COMMA = 0x2c;

class ReusedLabels implements SampleLabels {
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  size = 0;

  clear(): void {
    this.size = 0;
  }

  add(name: string, value: string): void {
    this.#names[this.size] = name;
    this.#values[this.size] = value;
    this.size++;
  }

  get(name: string): string | undefined {
    for (let index = 0; index < this.size; index++) {
      if (this.#names[index] === name) return this.#values[index];
    }
    return undefined;
  }

  fingerprint(except?: string): number {
    // Two FNV-1a hashes side by side: 32 and 18 bits.
    let high = 0x811c9dc5;
    let low = 0x9747b28c;
    for (let index = 0; index < this.size; index++) {
      const name = this.#names[index] ?? "";
      if (name === except) continue;
      const text = `${name}=${this.#values[index]}`;
      for (let at = 0; at < text.length; at++) {
        const code = text.charCodeAt(at);
        high = Math.imul(high ^ code, 0x01000193);
        low = Math.imul(low ^ code, 0x01000197);
      }
      // Between pairs stands what no label holds.
      high = Math.imul(high ^ 0x1ff, 0x01000193);
      low = Math.imul(low ^ 0x1ff, 0x01000197);
    }
    return (high >>> 0) * 0x40000 + (low >>> 14);
  }

  *entries(): Generator<readonly [string, string]> {
    for (let index = 0; index < this.size; index++) yield [this.#names[index] ?? "", this.#values[index] ?? ""];
  }
}

/** @returns the position after the closing brace, -1 where the labels are malformed */
function readLabels(text: string, from: number, end: number, labels: ReusedLabels): number {
  let at = skipBlanks(text, from, end);
  while (at < end) {
    // A comma may follow the last label.
    if (text.charCodeAt(at) === CLOSE_BRACE) return at + 1;
    const nameStart = at;
    while (at < end && isNameCharacter(text.charCodeAt(at))) at++;
    if (at === nameStart) return -1;
    const name = text.slice(nameStart, at);
    at = skipBlanks(text, at, end);
    if (text.charCodeAt(at) !== EQUALS) return -1;
    at = skipBlanks(text, at + 1, end);
    if (text.charCodeAt(at) !== QUOTE) return -1;
    const valueStart = at + 1;
    let valueEnd = text.indexOf('"', valueStart);
    if (valueEnd === -1 || valueEnd >= end) return -1;
    let value = text.slice(valueStart, valueEnd);
    if (value.includes("\\")) {
      valueEnd = closingQuote(text, valueStart, end);
      if (valueEnd === -1) return -1;
      value = unescapeLabelValue(text.slice(valueStart, valueEnd));
    }
    labels.add(name, value);
    at = skipBlanks(text, valueEnd + 1, end);
    const next = text.charCodeAt(at);
    if (next === COMMA) at = skipBlanks(text, at + 1, end);
    else if (next !== CLOSE_BRACE) return -1;
  }
  return -1;
}

function closingQuote(text: string, from: number, end: number): number {
  for (let at = from; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at++;
  }
  return -1;
}

function unescapeLabelValue(text: string): string {
  return text.replace(/\\(.)/g, (whole, escaped: string) => {
    if (escaped === "n") return "\n";
    return escaped === "\\" || escaped === '"' ? escaped : whole;
  });
}

function parseValue(text: string): number | undefined {
  if (text === "") return undefined;
  const value = Number(text);
  if (!Number.isNaN(value)) return value;
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special === null) return undefined;
  if (special[2]?.toLowerCase() === "nan") return Number.NaN;
  return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function skipBlanks(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Metric names may hold colons, label names must not: telling them apart is not worth a second function. */
function isNameCharacter(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x3a) || code === 0x5f
  );
}
