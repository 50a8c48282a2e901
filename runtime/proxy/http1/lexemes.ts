/** Bytes of HTTP/1 syntax (RFC 9110, 5.6; RFC 9112), and what is asked of short runs of them. */

export const CR = 13;
export const LF = 10;
export const SPACE = 32;
const TAB = 9;
export const COLON = 58;
export const SLASH = 47;
export const LOWER = 32;

/** 1: token character (RFC 9110, 5.6.2). */
export const TOKEN = table((code) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)));
/** 1: may stand in a field value or a request target: visible, obs-text; space and tab are added for values. */
export const VALUE = table((code) => code === TAB || (code >= SPACE && code !== 127));
export const TARGET = table((code) => code > SPACE && code !== 127);

function table(test: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (test(code) ? 1 : 0));
}

export function trim(bytes: Buffer, start: number, end: number): [start: number, end: number] {
  while (start < end && (bytes[start] === SPACE || bytes[start] === TAB)) start++;
  while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB)) end--;
  return [start, end];
}

export function equalsIgnoringCase(bytes: Buffer, start: number, end: number, text: string): boolean {
  return end - start === text.length && startsWithIgnoringCase(bytes, start, end, text);
}

export function startsWithIgnoringCase(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start < text.length) return false;
  for (let index = 0; index < text.length; index++) {
    const byte = bytes[start + index] as number;
    const lower = byte >= 65 && byte <= 90 ? byte | LOWER : byte;
    if (lower !== text.charCodeAt(index)) return false;
  }
  return true;
}

export function containsIgnoringCase(bytes: Buffer, start: number, end: number, text: string): boolean {
  return bytes.toString("latin1", start, end).toLowerCase().includes(text);
}

/** 1*DIGIT, exact in a double (RFC 9110, 8.6); -1 for anything else. */
export function parseLength(bytes: Buffer, start: number, end: number): number {
  if (start === end || end - start > 15) return -1;
  let length = 0;
  for (let index = start; index < end; index++) {
    const digit = (bytes[index] as number) - 48;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}
