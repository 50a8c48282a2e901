/** Heads of HTTP/2 with the edits of a route. */
import { HeaderField, LITERAL } from "../../wire/hpack/field.ts";
import { internField } from "../../wire/hpack/intern.ts";
import type { HeadEdits } from "../http/route-rule.ts";

export function editFields(fields: readonly HeaderField[], edits: HeadEdits): HeaderField[] {
  const gone = new Set([...edits.remove, ...edits.set.map(([name]) => name)]);
  const edited = fields.filter(({ name }) => !gone.has(name)).map((field) => editPseudo(field, edits));
  for (const [name, value] of edits.set) edited.push(internField(name, value));
  for (const [name, value] of edits.add) edited.push(internField(name, value));
  return edited;
}

function editPseudo(field: HeaderField, { authority, path }: HeadEdits): HeaderField {
  const { name, value } = field;
  if (authority !== undefined && (name === ":authority" || name === "host")) return internField(name, authority);
  if (path === undefined || name !== ":path" || !value.startsWith("/")) return field;
  const query = value.indexOf("?");
  const changed = query < 0 ? path(value) : path(value.slice(0, query)) + value.slice(query);
  return new HeaderField(name, changed, LITERAL);
}
