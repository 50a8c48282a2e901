/** The first line of a message (RFC 9112, 3 and 4). */
import type { Head } from "./head.ts";
import { SLASH, SPACE, TARGET, TOKEN } from "./lexemes.ts";

/** contentLength of a response that names none: its body ends with the connection. */
export const NO_LENGTH = -1;

export function parseRequestLine(bytes: Buffer, start: number, end: number, head: Head): boolean {
  let at = start;
  while (at < end && TOKEN[bytes[at] as number] === 1) at++;
  if (at === start || bytes[at] !== SPACE || at - start > 32) return false;
  head.method = internMethod(bytes, start, at);
  // `SP HTTP/1.x`: nine bytes before the end.
  const targetEnd = end - 9;
  if (targetEnd <= at + 1 || bytes[targetEnd] !== SPACE || !isVersion(bytes, targetEnd + 1, head)) return false;
  head.targetStart = at + 1;
  head.targetEnd = targetEnd;
  for (let index = at + 1; index < targetEnd; index++) if (TARGET[bytes[index] as number] === 0) return false;
  if (bytes[at + 1] !== SLASH && !isOtherTarget(bytes, head)) return false;
  head.close = head.minorVersion === 0;
  return true;
}

/** `*`, an absolute URI, or whatever CONNECT has (RFC 9112, 3.2): a path that is none would pass policies by. */
function isOtherTarget(bytes: Buffer, head: Head): boolean {
  const target = bytes.toString("latin1", head.targetStart, head.targetEnd);
  return head.method === "CONNECT" || target === "*" || /^[a-z][a-z0-9+.-]*:\/\/./i.test(target);
}

export function parseStatusLine(bytes: Buffer, start: number, end: number, head: Head): boolean {
  if (end - start < 12 || !isVersion(bytes, start, head) || bytes[start + 8] !== SPACE) return false;
  let status = 0;
  for (let index = start + 9; index < start + 12; index++) {
    const digit = (bytes[index] as number) - 48;
    if (digit < 0 || digit > 9) return false;
    status = status * 10 + digit;
  }
  if (status < 100 || (end > start + 12 && bytes[start + 12] !== SPACE)) return false;
  head.status = status;
  head.close = head.minorVersion === 0;
  head.contentLength = NO_LENGTH;
  return true;
}

/** `HTTP/1.0` or `HTTP/1.1` at `at`. */
function isVersion(bytes: Buffer, at: number, head: Head): boolean {
  const minor = (bytes[at + 7] as number) - 48;
  head.minorVersion = minor;
  return (
    bytes[at] === 72 &&
    bytes[at + 1] === 84 &&
    bytes[at + 2] === 84 &&
    bytes[at + 3] === 80 &&
    bytes[at + 4] === 47 &&
    bytes[at + 5] === 49 &&
    bytes[at + 6] === 46 &&
    (minor === 0 || minor === 1)
  );
}

function internMethod(bytes: Buffer, start: number, end: number): string {
  const first = bytes[start];
  if (end - start === 3 && first === 71 && bytes[start + 1] === 69 && bytes[start + 2] === 84) return "GET";
  if (
    end - start === 4 &&
    first === 80 &&
    bytes[start + 1] === 79 &&
    bytes[start + 2] === 83 &&
    bytes[start + 3] === 84
  )
    return "POST";
  return bytes.toString("latin1", start, end);
}
