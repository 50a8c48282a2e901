import type { Client } from "../policy/inbound.ts";
import type { TlsStatus } from "../tcp/labels.ts";
import type { Address } from "../transport/stream.ts";

/** What is known of a client's connection. */
export interface InboundPeer {
  readonly remote: Address;
  readonly client: Client;
  readonly tls: TlsStatus;
}
