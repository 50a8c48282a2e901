/** A control plane in a pod, whose answers are known when it starts. Run as: plane.ts '<PlaneScript>', with an IPC channel; its first message is a {@link PlaneStarted}. */
import { createTestAuthority } from "../../integration/proxy-control/support/authority.ts";
import { ControlPlane } from "../../integration/proxy-control/support/control-plane.ts";
import {
  add,
  balancer,
  defaultServer,
  detectPolicy,
  everyone,
  noEndpoints,
  weightedAddr,
} from "../../integration/proxy-control/support/messages.ts";

export interface PlaneScript {
  readonly host: string;
  readonly services: readonly PlaneService[];
}

/** One Service, meshed, whose endpoints' proxies take HTTP/2. */
export interface PlaneService {
  readonly name: string;
  /** `ip:port` that clients dial. */
  readonly address: string;
  readonly endpoints: readonly { readonly ip: string; readonly port: number; readonly identity: string }[];
}

export interface PlaneStarted {
  readonly identity: number;
  readonly services: number;
  readonly anchorsPem: string;
}

const INBOUND_PORT = 4143;
const { host, services } = JSON.parse(process.argv[2] ?? "") as PlaneScript;
const authority = createTestAuthority();
const plane = new ControlPlane({ authority, host });
for (const { name, address, endpoints } of services) {
  const path = `${name}.judges.svc.cluster.local:80`;
  plane.policy(address).first = [detectPolicy(balancer(path), { namespace: "judges", name, port: 80 })];
  const update = add([]);
  if (update.update?.$case === "add") {
    for (const endpoint of endpoints) {
      update.update.value.addrs.push({
        ...weightedAddr(endpoint),
        protocolHint: { protocol: { $case: "h2", value: {} }, opaqueTransport: { inboundPort: INBOUND_PORT } },
      });
    }
  }
  plane.destination(path).first = endpoints.length === 0 ? [noEndpoints(true)] : [update];
  for (const { port } of endpoints)
    plane.inbound(port).first = [defaultServer("all-unauthenticated", [everyone("all-unauthenticated")])];
}
const started = await plane.start();
process.send?.({ ...started, anchorsPem: authority.anchorsPem } satisfies PlaneStarted);
