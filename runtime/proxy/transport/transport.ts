import { handleTransport } from "./handles.ts";
import { loadInternals } from "./node-internals.ts";
import type { OriginalDestination } from "./original-destination.ts";
import type { SocketSettings } from "./socket-settings.ts";
import { socketTransport } from "./sockets.ts";
import type { Transport } from "./stream.ts";

/**
 * The fast transport where this Node has what it needs, else the public one.
 * @param wanted `WEFT_TRANSPORT`, to force one
 * @param sockets what the kernel is told of accepted and of connected sockets; by default nothing
 */
export function createTransport(
  originalDestination: OriginalDestination,
  wanted?: string,
  sockets: SocketSettings = {},
): Transport {
  const internals = wanted === "sockets" ? undefined : loadInternals();
  return internals === undefined
    ? socketTransport(originalDestination, sockets)
    : handleTransport(internals, originalDestination, sockets);
}
