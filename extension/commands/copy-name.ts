import { env } from "vscode";
import type { Weft } from "../container.ts";

/** Copy Name: `namespace/name`, as kubectl and the CLI take it. */
export async function copyName(weft: Weft, _context: unknown, row: unknown): Promise<void> {
  const subject = weft.subjectOf(row);
  if (subject === undefined) return;
  await env.clipboard.writeText(subject.kind === "Namespace" ? subject.name : `${subject.namespace}/${subject.name}`);
}
