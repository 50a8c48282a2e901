/** The inbound side: what reaches the pod, from the peer's connection to the application's. */
import type { DataPlaneListener } from "../listener.ts";
import { DataPlane } from "../tcp/data-plane.ts";
import { InboundConnection } from "./connection.ts";
import type { InboundOptions } from "./options.ts";
import { InboundSide } from "./side.ts";

/** @throws Error naming the address where it cannot listen */
export async function startInbound(options: InboundOptions): Promise<DataPlaneListener> {
  const plane = new DataPlane();
  const side = new InboundSide(options, plane);
  await plane.listen(options.transport, options.listen, options.backlog, (accepted) =>
    new InboundConnection(side, accepted).start(),
  );
  const forgetIdentity = options.identity.onChange(() => {
    plane.renew();
    side.gateway?.outbound.renew();
  });
  plane.onClose(() => {
    forgetIdentity();
    side.gateway?.outbound.close();
  });
  return plane;
}
