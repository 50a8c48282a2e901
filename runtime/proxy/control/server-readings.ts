/**
 * `control_*_balancer_endpoints` and its kin (reference 7.4): the servers behind an address of the control plane. A client is connected to
 * one of them at a time: the others are pending, as those are in Linkerd that have no connection yet.
 */
import { renderLabels } from "../../prometheus/labels.ts";
import type { Reading } from "../metrics/registry.ts";
import type { GrpcControl } from "./grpc-client.ts";

/** @param client `identity`, `destination`, `policy` or `trace_collector` */
export function serverReadings(client: string, { target, servers }: GrpcControl): Reading[] {
  const base = client === "trace_collector" ? "opentelemetry" : `control_${client}`;
  const { known, connected } = servers;
  return [["pending", known - connected] as const, ["ready", connected] as const].map(([state, value]) => ({
    name: `${base}_balancer_endpoints`,
    type: "gauge",
    help: "The number of servers behind the address by whether there is a connection with them",
    labels: renderLabels([
      ["addr", target],
      ["endpoint_state", state],
    ]),
    value,
  }));
}
