/** Lists in pages, so that neither side holds a big collection at once (KEP-365; client-go's pager). */
import { hasStatus } from "./errors.ts";
import { apiVersionOf, resourcePath } from "./resources.ts";
import type { KubeClient, KubeObject, ListOptions, Resource } from "./types.ts";

const PAGE_SIZE = 500;

interface ObjectList<T> {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: T[] | null;
}

export interface Page<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  /** True for the first page of a (new) list: what came before is void. */
  readonly first: boolean;
}

/** Restarts once, unpaged, when the continue token has expired (410). Items carry apiVersion and kind. */
export async function* listPages<T extends KubeObject>(
  client: Pick<KubeClient, "json">,
  resource: Resource,
  options: ListOptions = {},
): AsyncGenerator<Page<T>> {
  let token: string | undefined;
  let limit: number | undefined = PAGE_SIZE;
  let first = true;
  for (;;) {
    let list: ObjectList<T>;
    try {
      list = await client.json<ObjectList<T>>({
        method: "GET",
        path: resourcePath(resource, options.namespace),
        query: { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector, limit, continue: token },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (error) {
      if (!hasStatus(error, 410) || token === undefined) throw error;
      token = undefined;
      limit = undefined;
      first = true;
      continue;
    }
    const items = list.items ?? [];
    for (const item of items) {
      // Lists of built-in kinds leave these out of their items.
      item.apiVersion ??= apiVersionOf(resource);
      item.kind ??= resource.kind;
    }
    yield { items, resourceVersion: list.metadata.resourceVersion ?? "", first };
    first = false;
    token = list.metadata.continue;
    if (token === undefined || token === "") return;
  }
}
