import { env } from "vscode";
import type { Weft } from "../container.ts";

/** Copy Identity: the full name that a certificate carries. */
export async function copyIdentity(weft: Weft, _context: unknown, row: unknown): Promise<void> {
  const subject = weft.subjectOf(row);
  if (subject?.kind === "Identity") await env.clipboard.writeText(subject.name);
}
