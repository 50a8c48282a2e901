import type { Weft } from "../container.ts";

/** Refresh: looks for the mesh again, and takes up streams that had given up. */
export async function refresh(weft: Weft): Promise<void> {
  await weft.connection.refresh();
  weft.workloads.restart();
}
