/** Watches: events of one collection as lines of JSON, from a version on (apiserver's watch cache). */
import { apiVersionOf } from "../../kube/resources.ts";
import type { Kind } from "./kind.ts";
import { isSelected, type Selection, selectionOf } from "./listing.ts";
import type { StoredObject } from "./object.ts";
import { isTrue } from "./request-info.ts";
import { badRequest, StatusError } from "./status.ts";
import type { ObjectStore, StoreEvent } from "./store.ts";
import { statusBody } from "./wire.ts";

export type WatchLine = Record<string, unknown>;

/** Bookmarks keep a quiet watch's version from growing old. */
const BOOKMARK_MS = 60_000;
const DEFAULT_SECONDS = 1800;

export interface WatchSink {
  /** One line; the object as the client wants to see it (whole, Table, metadata). */
  write(line: WatchLine): void;
  end(): void;
}

export interface Watch {
  stop(): void;
}

/**
 * @param render of an object for the client
 * @throws StatusError 400 for broken queries; an expired version is told as an ERROR event, as the real server does
 */
export function startWatch(
  store: ObjectStore,
  kind: Kind,
  namespace: string | undefined,
  query: URLSearchParams,
  render: (object: StoredObject) => unknown,
  sink: WatchSink,
): Watch {
  const selection = selectionOf(kind, query);
  const asked = query.get("resourceVersion") ?? "";
  const initial = query.has("sendInitialEvents")
    ? isTrue(query.get("sendInitialEvents"))
    : asked === "" || asked === "0";
  const bookmarks = isTrue(query.get("allowWatchBookmarks"));
  if (asked !== "" && !/^\d+$/.test(asked))
    throw badRequest(`invalid resource version: resourceVersion: Invalid value: "${asked}"`);

  let lastRevision = Number(asked);
  const bookmark = (annotations?: Record<string, string>): void => {
    const metadata = {
      resourceVersion: String(lastRevision),
      ...(annotations === undefined ? {} : { annotations }),
    };
    sink.write({ type: "BOOKMARK", object: { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata } });
  };
  const tell = (event: StoreEvent): void => {
    // A version from the future: nothing until then.
    if (event.revision <= Number(asked)) return;
    lastRevision = event.revision;
    if (namespace !== undefined && event.object.metadata.namespace !== namespace) return;
    const type = typeFor(event, selection);
    if (type !== undefined) sink.write({ type, object: render(visible(event, type)) });
  };

  let unsubscribe: () => void;
  try {
    if (initial) {
      const snapshot = store.snapshot(kind, namespace);
      lastRevision = snapshot.revision;
      for (const object of snapshot.objects) {
        if (isSelected(object, selection)) sink.write({ type: "ADDED", object: render(object) });
      }
      if (bookmarks) bookmark({ "k8s.io/initial-events-end": "true" });
    }
    unsubscribe = store.watch(kind, Math.min(lastRevision, store.revision), tell);
    lastRevision = Math.max(lastRevision, store.revision);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    sink.write({ type: "ERROR", object: statusBody(error) });
    sink.end();
    return { stop: () => {} };
  }

  const beat = setInterval(() => {
    if (!bookmarks) return;
    lastRevision = store.revision;
    bookmark();
  }, BOOKMARK_MS);
  const seconds = Number(query.get("timeoutSeconds") ?? 0) || DEFAULT_SECONDS;
  const end = setTimeout(() => {
    if (bookmarks && seconds > 2) {
      lastRevision = store.revision;
      bookmark();
    }
    watch.stop();
    sink.end();
  }, seconds * 1000);
  const watch: Watch = {
    stop() {
      clearInterval(beat);
      clearTimeout(end);
      unsubscribe();
    },
  };
  return watch;
}

/** An object that changes into a selection is ADDED to it, one that changes out of it DELETED. */
function typeFor(event: StoreEvent, selection: Selection): "ADDED" | "MODIFIED" | "DELETED" | undefined {
  const was = event.previous !== undefined && isSelected(event.previous, selection);
  if (event.type === "deleted") return was ? "DELETED" : undefined;
  const is = isSelected(event.object, selection);
  if (is) return was ? "MODIFIED" : "ADDED";
  return was ? "DELETED" : undefined;
}

/** A selection's DELETED shows the last state it selected, at the version of the event. */
function visible(event: StoreEvent, type: string): StoredObject {
  if (type !== "DELETED" || event.previous === undefined) return event.object;
  const metadata = { ...event.previous.metadata, resourceVersion: String(event.revision) };
  return { ...event.previous, metadata };
}
