/** The outbound side: what the application dials, from its connection to an endpoint's. */
import type { DataPlaneListener } from "../listener.ts";
import { DataPlane } from "../tcp/data-plane.ts";
import { OutboundConnection } from "./connection.ts";
import type { OutboundOptions } from "./options.ts";
import { OutboundSide } from "./side.ts";

/** @throws Error naming the address where it cannot listen */
export async function startOutbound(options: OutboundOptions): Promise<DataPlaneListener> {
  const plane = new DataPlane();
  const side = new OutboundSide(options, plane);
  await plane.listen(options.transport, options.listen, options.backlog, (accepted) =>
    new OutboundConnection(side, accepted).start(),
  );
  const forgetIdentity = options.identity.onChange(() => side.renew());
  plane.onClose(() => {
    forgetIdentity();
    side.close();
  });
  return plane;
}
