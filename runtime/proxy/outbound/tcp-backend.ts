/** Where a connection of bytes goes: its route's backend, and an endpoint of it that takes the connection (reference 9.2). */
import type { Refusal } from "../http/failure.ts";
import type { Labels } from "../metrics/series.ts";
import { distribute } from "../route/table.ts";
import type { Connected } from "../tcp/forward.ts";
import type { StreamOwner } from "../transport/stream.ts";
import { unavailable } from "./backend-use.ts";
import { connectEndpoint } from "./connect.ts";
import { TcpEndpoint } from "./endpoint.ts";
import type { OutboundSide } from "./side.ts";
import type { Backend, OutboundTarget } from "./target.ts";

/** No endpoint was ready in time, or too many connections wait for one. */
class NoEndpointError extends Error {
  /** As `outbound_tcp_errors_total` has it. */
  readonly label: string;

  constructor({ message, error }: Refusal) {
    super(message);
    this.name = "NoEndpointError";
    this.label = error ?? "unexpected";
  }
}

/** The label `error` of `outbound_tcp_errors_total`: why a connection to `backend` did not come about. */
export function tcpErrorLabel(backend: Backend, error: Error): string {
  if (error instanceof NoEndpointError) return error.label;
  return backend.kind === "fail" ? "unexpected" : "i/o";
}

/**
 * Tries endpoints until one takes the connection, or the balancer gives up.
 * @param kind `tls`: it goes by the name that TLS asks for
 * @throws Error saying why there is none
 */
export async function connectBackend(
  side: OutboundSide,
  backend: Backend,
  owner: StreamOwner,
  kind: "tcp" | "tls" = "tcp",
): Promise<Connected> {
  const { options } = side;
  if (backend.kind === "fail") throw new Error(backend.message);
  if (backend.kind === "forward") {
    return connectOnce(options, new TcpEndpoint(options, backend.endpoint), owner);
  }
  const balancer = side.useBalancers(backend).bytes(kind);
  const began = performance.now();
  try {
    for (let problem = "no endpoint is ready"; ; ) {
      const found = balancer.pick() ?? (await balancer.acquire(performance.now() - began));
      if (typeof found === "string") throw new NoEndpointError(unavailable(found, problem));
      try {
        const connected = await connectOnce(options, found.data, owner);
        balancer.succeeded(found.endpoint);
        return connected;
      } catch (error) {
        problem = (error as Error).message;
        balancer.failed(found.endpoint);
      }
    }
  } finally {
    side.leave(backend);
  }
}

/** The way of a connection that is no HTTP. `route`: `route_*`, where the policy has routes for it. */
export function chooseTcp(
  { tcp, backend }: OutboundTarget,
  serverName: string | undefined,
): { backend: Backend; route?: Labels } {
  if (tcp === undefined) return { backend };
  const route = tcp.find(serverName);
  const found = route && distribute(route, ({ backend: one }) => (isAvailable(one) ? one : undefined));
  const none: Backend = { kind: "fail", status: 404, message: "no route of the destination's policy matches" };
  return { backend: found?.choice.backend ?? none, ...(route === undefined ? {} : { route: route.labels }) };
}

function isAvailable(backend: Backend): boolean {
  return backend.kind !== "balancer" || backend.source.endpoints.size > 0;
}

async function connectOnce(
  options: Parameters<typeof connectEndpoint>[0],
  data: TcpEndpoint,
  owner: StreamOwner,
): Promise<Connected> {
  const { endpoint, ewma, series } = data;
  const began = performance.now();
  if (ewma !== undefined) ewma.outstanding++;
  const done = (): void => {
    if (ewma !== undefined) ewma.outstanding--;
  };
  try {
    const stream = await connectEndpoint(options, endpoint, undefined, owner);
    const now = performance.now();
    ewma?.observe(now - began, now);
    series.opened();
    return { stream, series, done };
  } catch (error) {
    done();
    throw error;
  }
}
