/** Snippets as somebody inserts them who takes every default. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../../..");

export interface Snippet {
  readonly title: string;
  readonly prefixes: readonly string[];
  /** YAML, one or more documents. */
  readonly text: string;
}

interface SnippetEntry {
  readonly prefix: string | readonly string[];
  readonly body: readonly string[];
}

export function readSnippets(): Snippet[] {
  const file = join(root, "snippets/mesh.json");
  const entries = JSON.parse(readFileSync(file, "utf8")) as Record<string, SnippetEntry>;
  return Object.entries(entries).map(([title, { prefix, body }]) => ({
    title,
    prefixes: [prefix].flat(),
    text: expand(body.join("\n")),
  }));
}

/** `${1:default}` → default, `${1|a,b|}` → a, `$0` → nothing (TextMate's snippet syntax). */
export function expand(body: string): string {
  return body
    .replace(/\$\{\d+\|([^,|}]+)[^}]*\|\}/g, "$1")
    .replace(/\$\{\d+:([^{}]*)\}/g, "$1")
    .replace(/\$\d+/g, "");
}
