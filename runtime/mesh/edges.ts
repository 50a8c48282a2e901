/** Who calls whom, with both identities, from stats.weft.dev. */
import type { KubeClient } from "../kube/types.ts";
import type { EdgeList } from "../model/statistics.ts";
import { getFigures } from "./stat.ts";
import type { StatQuery } from "./types.ts";

/** @throws MeshError where the mesh is absent, its API is down or the user may not look */
export async function getEdges(
  client: KubeClient,
  query: Pick<StatQuery, "namespace" | "windowMs">,
  signal?: AbortSignal,
): Promise<EdgeList> {
  return await getFigures<EdgeList>(client, "edges", query, signal);
}
