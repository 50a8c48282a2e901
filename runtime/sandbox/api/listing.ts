/** Lists: selectors, and pages that all show the state of the first one (KEP-365). */
import { apiVersionOf } from "../../kube/resources.ts";
import type { Kind } from "./kind.ts";
import type { StoredObject } from "./object.ts";
import { type FieldMatcher, type LabelMatcher, parseFieldSelector, parseLabelSelector } from "./selectors.ts";
import { badRequest, expired, StatusError } from "./status.ts";
import type { ObjectStore, Snapshot } from "./store.ts";

export interface Selection {
  readonly labels: LabelMatcher | undefined;
  readonly fields: FieldMatcher | undefined;
}

export function selectionOf(kind: Kind, query: URLSearchParams): Selection {
  const labels = query.get("labelSelector") ?? "";
  const fields = query.get("fieldSelector") ?? "";
  return {
    labels: labels === "" ? undefined : parseLabelSelector(labels),
    fields: fields === "" ? undefined : parseFieldSelector(fields, kind.fieldSelectors),
  };
}

export function isSelected(object: StoredObject, selection: Selection): boolean {
  return (selection.labels?.(object.metadata.labels ?? {}) ?? true) && (selection.fields?.(object) ?? true);
}

export interface ObjectList {
  readonly items: readonly StoredObject[];
  readonly revision: number;
  readonly continue?: string;
  readonly remaining?: number;
}

/** How long a paged list can be continued; etcd keeps history for five minutes. */
const KEEP_MS = 5 * 60_000;
const MAX_KEPT = 64;

interface Kept {
  readonly snapshot: Snapshot;
  readonly until: number;
}

interface Token {
  readonly revision: number;
  readonly from: number;
  readonly collection: string;
}

export class Lists {
  readonly #store: ObjectStore;
  readonly #kept = new Map<string, Kept>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @throws StatusError 410 where the pages before are forgotten, 400 for a broken token or selector */
  list(kind: Kind, namespace: string | undefined, query: URLSearchParams): ObjectList {
    const selection = selectionOf(kind, query);
    const limit = Number(query.get("limit") ?? 0);
    const token = query.get("continue") ?? "";
    const collection = `${kind.group}/${kind.plural}/${namespace ?? ""}`;
    let from = 0;
    let snapshot: Snapshot;
    if (token === "") {
      checkVersion(query, this.#store.revision);
      snapshot = this.#store.snapshot(kind, namespace);
    } else {
      const at = parseToken(token, collection);
      from = at.from;
      snapshot = this.#recall(collection, at.revision);
    }
    const items: StoredObject[] = [];
    let index = from;
    for (; index < snapshot.objects.length; index++) {
      const object = snapshot.objects[index];
      if (object === undefined || !isSelected(object, selection)) continue;
      if (limit > 0 && items.length === limit) break;
      items.push(object);
    }
    if (index >= snapshot.objects.length) return { items, revision: snapshot.revision };
    this.#keep(collection, snapshot);
    const next: Token = { revision: snapshot.revision, from: index, collection };
    const selective = selection.labels !== undefined || selection.fields !== undefined;
    return {
      items,
      revision: snapshot.revision,
      continue: Buffer.from(JSON.stringify(next)).toString("base64url"),
      ...(selective ? {} : { remaining: snapshot.objects.length - index }),
    };
  }

  /** Forgets what continued lists would need, as a compaction does. */
  compact(): void {
    this.#kept.clear();
  }

  #keep(collection: string, snapshot: Snapshot): void {
    const now = Date.now();
    for (const [key, kept] of this.#kept) {
      if (kept.until < now || this.#kept.size >= MAX_KEPT) this.#kept.delete(key);
    }
    this.#kept.set(`${collection}@${snapshot.revision}`, { snapshot, until: now + KEEP_MS });
  }

  #recall(collection: string, revision: number): Snapshot {
    const kept = this.#kept.get(`${collection}@${revision}`);
    if (kept === undefined || kept.until < Date.now()) {
      throw expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
      );
    }
    return kept.snapshot;
  }
}

function parseToken(token: string, collection: string): Token {
  try {
    const parsed = JSON.parse(Buffer.from(token, "base64url").toString("utf8")) as Partial<Token>;
    if (parsed.collection === collection && typeof parsed.from === "number" && typeof parsed.revision === "number") {
      return { collection, from: parsed.from, revision: parsed.revision };
    }
  } catch {
    // Told below.
  }
  throw badRequest("invalid continue token: continue key is not valid: it is of another list or damaged");
}

/** A version from the future: another server's, or one this server forgot when it started anew. */
function checkVersion(query: URLSearchParams, revision: number): void {
  const text = query.get("resourceVersion") ?? "";
  if (text === "") return;
  const asked = Number(text);
  if (!Number.isInteger(asked) || asked < 0)
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`,
    );
  if (asked > revision) throw tooLarge(asked, revision);
}

export function tooLarge(asked: number, revision: number): StatusError {
  return new StatusError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${revision}`, {
    retryAfterSeconds: 1,
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
  });
}

/** The list as it goes over the wire: items of built-in kinds do not repeat apiVersion and kind. */
export function listBody(kind: Kind, list: ObjectList): Record<string, unknown> {
  return {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: {
      resourceVersion: String(list.revision),
      ...(list.continue === undefined ? {} : { continue: list.continue }),
      ...(list.remaining === undefined ? {} : { remainingItemCount: list.remaining }),
    },
    items:
      kind.decode === undefined ? list.items.map(withoutType) : list.items.map((object) => inVersion(object, kind)),
  };
}

function withoutType(object: StoredObject): Record<string, unknown> {
  const { apiVersion: _apiVersion, kind: _kind, ...rest } = object;
  return rest;
}

/** Custom resources of several versions are stored once; their versions differ in name only (conversion None). */
export function inVersion(object: StoredObject, kind: Kind): StoredObject {
  const apiVersion = apiVersionOf(kind);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}
