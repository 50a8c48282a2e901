import type { Weft } from "../container.ts";

/** Disconnect: ends every stream and connection; nothing is changed in the cluster. */
export function disconnect(weft: Weft): void {
  weft.connection.disconnect();
}
