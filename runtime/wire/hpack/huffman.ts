/** The Huffman code of string literals (RFC 7541, 5.2 and appendix B). */
import { HpackError } from "./error.ts";
import { HUFFMAN_LENGTHS } from "./huffman-lengths.ts";

const EOS = 256;
const CODES = canonicalCodes();

/** States are the inner nodes of the code's tree; each step takes four bits. Codes have five bits or more: a step ends at most one. */
const STATES = 256;
const FAILED = -1;
const NO_SYMBOL = -1;
const NEXT = new Int16Array(STATES * 16);
const SYMBOL = new Int16Array(STATES * 16);
/** States where a string may end: less than eight bits, all ones, were read since the last symbol. */
const ENDS = new Uint8Array(STATES);
buildStates();

let scratch = Buffer.allocUnsafeSlow(1_024);

/** @returns the octets as Latin-1. @throws HpackError for padding that is none, and EOS */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string {
  // Five bits are the shortest code.
  const most = Math.ceil(((end - start) * 8) / 5);
  const out = most <= scratch.length ? scratch : room(most);
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const octet = bytes[at]!;
    let step = state * 16 + (octet >> 4);
    if (SYMBOL[step]! !== NO_SYMBOL) out[length++] = SYMBOL[step]!;
    state = NEXT[step]!;
    if (state === FAILED) throw new HpackError("EOS inside a string (RFC 7541, 5.2)");
    step = state * 16 + (octet & 15);
    if (SYMBOL[step]! !== NO_SYMBOL) out[length++] = SYMBOL[step]!;
    state = NEXT[step]!;
    if (state === FAILED) throw new HpackError("EOS inside a string (RFC 7541, 5.2)");
  }
  if (ENDS[state] === 0) throw new HpackError("Huffman padding that is not the beginning of EOS (RFC 7541, 5.2)");
  return out.toString("latin1", 0, length);
}

/** Octets that `text` (Latin-1) takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += HUFFMAN_LENGTHS[text.charCodeAt(at) & 255]!;
  return (bits + 7) >> 3;
}

/** Writes `text` coded to `out` at `at`. @returns where it ends */
export function encodeHuffman(text: string, out: Buffer, at: number): number {
  let held = 0;
  let heldBits = 0;
  for (let index = 0; index < text.length; index++) {
    const octet = text.charCodeAt(index) & 255;
    const code = CODES[octet]!;
    let left = HUFFMAN_LENGTHS[octet]!;
    while (left > 0) {
      const take = Math.min(8 - heldBits, left);
      left -= take;
      held = (held << take) | ((code >>> left) & ((1 << take) - 1));
      heldBits += take;
      if (heldBits === 8) {
        out[at++] = held;
        held = 0;
        heldBits = 0;
      }
    }
  }
  if (heldBits > 0) out[at++] = (held << (8 - heldBits)) | (255 >> heldBits);
  return at;
}

/** A larger one is for one string only: what a peer sends once is not kept. */
function room(bytes: number): Buffer {
  if (bytes > 16_384) return Buffer.allocUnsafeSlow(bytes);
  scratch = Buffer.allocUnsafeSlow(16_384);
  return scratch;
}

function canonicalCodes(): Uint32Array {
  const order = HUFFMAN_LENGTHS.map((_, symbol) => symbol).sort(
    (a, b) => HUFFMAN_LENGTHS[a]! - HUFFMAN_LENGTHS[b]! || a - b,
  );
  const codes = new Uint32Array(HUFFMAN_LENGTHS.length);
  let code = 0;
  let length = HUFFMAN_LENGTHS[order[0]!]!;
  for (const symbol of order) {
    code *= 2 ** (HUFFMAN_LENGTHS[symbol]! - length);
    length = HUFFMAN_LENGTHS[symbol]!;
    codes[symbol] = code++;
  }
  return codes;
}

/** The tree, then what four bits do from each of its inner nodes. */
function buildStates(): void {
  // Children of inner nodes: another inner node, or ~symbol.
  const children = new Int16Array(STATES * 2);
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = HUFFMAN_LENGTHS[symbol]! - 1; bit >= 0; bit--) {
      const edge = node * 2 + ((CODES[symbol]! >>> bit) & 1);
      if (bit === 0) children[edge] = ~symbol;
      else {
        if (children[edge] === 0) children[edge] = nodes++;
        node = children[edge]!;
      }
    }
  }
  for (let state = 0; state < STATES; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let symbol = NO_SYMBOL;
      for (let bit = 3; bit >= 0 && node !== FAILED; bit--) {
        const child = children[node * 2 + ((nibble >> bit) & 1)]!;
        if (child >= 0) node = child;
        else if (~child === EOS) node = FAILED;
        else {
          symbol = ~child;
          node = 0;
        }
      }
      NEXT[state * 16 + nibble] = node;
      SYMBOL[state * 16 + nibble] = symbol;
    }
  }
  let node = 0;
  for (let ones = 0; ones < 8; ones++) {
    ENDS[node] = 1;
    node = children[node * 2 + 1]!;
  }
}
