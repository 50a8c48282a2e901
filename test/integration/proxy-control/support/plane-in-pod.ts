/** A scripted control plane as a program in a pod, told by its parent what to answer. Says first where it is and whom to trust. */
import { createTestAuthority } from "./authority.ts";
import { ControlPlane } from "./control-plane.ts";
import { add, balancer, defaultServer, detectPolicy, type EndpointSpec, everyone, noEndpoints } from "./messages.ts";

export interface PlaneStarted {
  readonly identity: number;
  readonly services: number;
  readonly anchorsPem: string;
}

/** One Service on one address. */
export interface PlaneService {
  readonly address: string;
  readonly path: string;
}

export type PlaneOrder =
  | { readonly kind: "endpoints"; readonly path: string; readonly endpoints: readonly EndpointSpec[] }
  /** As a controller that dies, and one that takes its place. */
  | { readonly kind: "stop" | "start" };

const { host, services, ports } = JSON.parse(process.argv[2] ?? "") as {
  host: string;
  services: PlaneService[];
  ports: number[];
};
const authority = createTestAuthority();
const plane = new ControlPlane({ authority, host });
for (const { address, path } of services) {
  const [name = "", namespace = ""] = path.split(".");
  plane.policy(address).first = [detectPolicy(balancer(path), { name, namespace, port: 80 })];
  plane.destination(path).first = [noEndpoints(true)];
}
for (const port of ports) {
  plane.inbound(port).first = [defaultServer("all-unauthenticated", [everyone("all-unauthenticated")])];
}

process.on("message", (order: PlaneOrder) => {
  void obey(order).then(() => process.send?.("done"));
});

async function obey(order: PlaneOrder): Promise<void> {
  switch (order.kind) {
    case "endpoints": {
      const topic = plane.destination(order.path);
      // What a new stream hears is all there is; streams that are open hear it as what is new.
      topic.first = [add(order.endpoints)];
      for (const call of [...topic.open]) call.write(noEndpoints(true));
      topic.push(add(order.endpoints));
      return;
    }
    case "stop":
      plane.stop();
      return;
    case "start":
      await plane.start();
  }
}

const started = await plane.start();
process.send?.({ ...started, anchorsPem: authority.anchorsPem } satisfies PlaneStarted);
