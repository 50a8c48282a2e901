/** One object for each (name, value) that dynamic tables hold, process-wide and bounded. */
import { HeaderField } from "./field.ts";
import { STATIC_TABLE } from "./static-table.ts";

/** Beyond these the store begins anew: identities part then, what is sent stays right. */
const MAX_FIELDS = 4_096;
const MAX_BYTES = 512 * 1024;

const STATIC = new Map<string, HeaderField>();
for (const field of STATIC_TABLE.slice(1)) {
  const key = keyOf(field.name, field.value);
  if (!STATIC.has(key)) STATIC.set(key, field);
}

const store = new Map<string, HeaderField>();
let bytes = 0;

/** The field of that name and value, worth an entry in dynamic tables. */
export function internField(name: string, value: string): HeaderField {
  const key = keyOf(name, value);
  const known = STATIC.get(key) ?? store.get(key);
  if (known !== undefined) return known;
  const field = new HeaderField(name, value);
  bytes += field.size;
  if (store.size >= MAX_FIELDS || bytes > MAX_BYTES) {
    store.clear();
    bytes = field.size;
  }
  store.set(key, field);
  return field;
}

/** Names are not refused for octets they must not have before HTTP/2's rules look at them, hence the length. */
function keyOf(name: string, value: string): string {
  return `${name.length}:${name}${value}`;
}
