/**
 * Live figures of one resource, over the whole cluster or, where the user may not look everywhere, over the namespaces
 * that they may see. Knows no `vscode`.
 */
import type { KubeClient } from "../../runtime/kube/types.ts";
import { watchStats } from "../../runtime/mesh/stat.ts";
import type { Stat, StatList, StatResource, StatSource } from "../../runtime/model/statistics.ts";
import type { Explanation } from "../errors/explain.ts";
import { keepStreaming } from "./retry.ts";

export interface StatFeedQuery {
  readonly resource: StatResource;
  readonly windowMs: number;
  /** Empty: all, or `fallbackNamespace` where the user may not. */
  readonly namespaces: readonly string[];
  readonly fallbackNamespace: string;
}

export interface Figures {
  readonly items: readonly Stat[];
  readonly window: string;
  readonly source: StatSource;
  /** Set where not the whole cluster is shown although nobody asked for less. */
  readonly onlyNamespace?: string;
}

export interface StatFeedHooks {
  readonly onFigures: (figures: Figures) => void;
  /** The stream broke; it is tried again. */
  readonly onProblem: (problem: Explanation) => void;
  /** The user may see nothing of it. */
  readonly onDenied: (problem: Explanation) => void;
}

/** Runs until `signal` aborts; resolves then, or when the user may see nothing. */
export async function feedStats(
  client: KubeClient,
  query: StatFeedQuery,
  signal: AbortSignal,
  hooks: StatFeedHooks,
): Promise<void> {
  if (query.namespaces.length > 0) return await feedNamespaces(client, query, query.namespaces, signal, hooks);
  const everywhere = await feedScope(client, query, undefined, signal, hooks.onProblem, (list) =>
    hooks.onFigures({ items: list.items, window: list.window, source: list.source }),
  );
  if (everywhere === undefined || signal.aborted) return;
  const namespace = query.fallbackNamespace;
  const denied = await feedScope(client, query, namespace, signal, hooks.onProblem, (list) =>
    hooks.onFigures({ items: list.items, window: list.window, source: list.source, onlyNamespace: namespace }),
  );
  if (denied !== undefined && !signal.aborted) hooks.onDenied(denied);
}

/** Each namespace is a stream of its own; one that is forbidden does not hide the others. */
async function feedNamespaces(
  client: KubeClient,
  query: StatFeedQuery,
  namespaces: readonly string[],
  signal: AbortSignal,
  hooks: StatFeedHooks,
): Promise<void> {
  const lists = new Map<string, StatList>();
  const denials = await Promise.all(
    namespaces.map((namespace) =>
      feedScope(client, query, namespace, signal, hooks.onProblem, (list) => {
        lists.set(namespace, list);
        hooks.onFigures(merge([...lists.values()], list));
      }).then((denied) => {
        if (denied !== undefined && !signal.aborted) hooks.onProblem(denied);
        return denied;
      }),
    ),
  );
  const [first] = denials;
  if (!signal.aborted && first !== undefined && denials.every((denied) => denied !== undefined)) hooks.onDenied(first);
}

function merge(lists: readonly StatList[], newest: StatList): Figures {
  return { items: lists.flatMap(({ items }) => items), window: newest.window, source: newest.source };
}

/** @returns why the user may not look; undefined when `signal` ended it */
async function feedScope(
  client: KubeClient,
  { resource, windowMs }: StatFeedQuery,
  namespace: string | undefined,
  signal: AbortSignal,
  onProblem: (problem: Explanation) => void,
  onList: (list: StatList) => void,
): Promise<Explanation | undefined> {
  const scope = namespace === undefined ? {} : { namespace };
  return await keepStreaming(
    async () => {
      for await (const list of watchStats(client, { resource, windowMs, ...scope }, signal)) onList(list);
    },
    signal,
    { onProblem, isFinal: ({ trouble }) => trouble === "forbidden" },
  );
}
