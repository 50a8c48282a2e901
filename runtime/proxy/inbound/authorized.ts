/** What goes on as bytes for as long as the port's policy lets it: plain bytes, and tunnels that a request has made. */
import type { InboundServer } from "../policy/inbound.ts";
import { targetLabels, tlsLabels } from "../tcp/labels.ts";
import type { Address } from "../transport/stream.ts";
import type { InboundPeer } from "./peer.ts";
import type { InboundSide } from "./side.ts";

/**
 * Calls `end` when the policy of the port at `target` no longer permits what it did: once it changes, or at once.
 * @returns ends the watch: it is over by itself
 */
export function whileAuthorized(
  side: InboundSide,
  peer: InboundPeer,
  target: Address,
  permits: (server: InboundServer) => boolean,
  end: () => void,
): () => void {
  const { policies, metrics } = side.options;
  const look = (server: InboundServer): void => {
    if (permits(server)) return;
    side.tell("ended a connection", peer.client, server);
    const labels = [...targetLabels(target.ip, target.port), ...server.labels, ...tlsLabels(peer.tls, "client_id")];
    metrics.counter("inbound_tcp_authz_terminate_total", labels).add();
    end();
  };
  const unfollow = policies.follow(target.port, look);
  look(policies.port(target.port));
  return unfollow;
}
