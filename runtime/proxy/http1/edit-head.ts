/** Heads of HTTP/1 with the edits of a route. Text is made of them: only where a route asks for it. */
import type { HeaderList } from "../http/request-head.ts";
import type { HeadEdits } from "../http/route-rule.ts";
import { editFields } from "../route/head-edits.ts";
import { copyHead, type Head } from "./head.ts";

/** What is to be forwarded of the request's head at `bytes[start, head.end)`, edited; without the empty line. */
export function editRequestHead(bytes: Buffer, start: number, head: Head, edits: HeadEdits): Buffer {
  const { first, fields } = split(bytes, start, head);
  const [method = "", target = "", version = ""] = first.split(" ");
  const { authority } = edits;
  const edited = editFields(fields, edits).map(([name, value]): [string, string] =>
    name === "host" && authority !== undefined ? [name, authority] : [name, value],
  );
  return join(`${method} ${editTarget(target, edits)} ${version}`, edited);
}

export function editResponseHead(bytes: Buffer, start: number, head: Head, edits: HeadEdits): Buffer {
  const { first, fields } = split(bytes, start, head);
  return join(first, editFields(fields, edits));
}

function split(bytes: Buffer, start: number, head: Head): { first: string; fields: HeaderList } {
  const room = Buffer.allocUnsafe(head.end - start);
  const text = room.toString("latin1", 0, copyHead(bytes, head, room, 0));
  const [first = "", ...lines] = text.split("\r\n");
  const fields = lines.flatMap((line): [string, string][] => {
    const colon = line.indexOf(":");
    return colon < 0 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]];
  });
  return { first, fields };
}

function join(first: string, fields: HeaderList): Buffer {
  return Buffer.from(`${first}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}`, "latin1");
}

/** Of a target in origin or absolute form; others name no path. */
function editTarget(target: string, { authority, path }: HeadEdits): string {
  const absolute = /^([a-z][a-z0-9+.-]*:\/\/)([^/?]*)(.*)$/i.exec(target);
  if (absolute === null) return target.startsWith("/") ? editPath(target, path) : target;
  const [, scheme = "", host = "", rest = ""] = absolute;
  return `${scheme}${authority ?? host}${editPath(rest.startsWith("/") ? rest : `/${rest}`, path)}`;
}

function editPath(target: string, path: HeadEdits["path"]): string {
  if (path === undefined) return target;
  const query = target.indexOf("?");
  return query < 0 ? path(target) : path(target.slice(0, query)) + target.slice(query);
}
