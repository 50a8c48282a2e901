/** The policies that need no controller (reference 4.4, 6.4): LINKERD2_PROXY_INBOUND_DEFAULT_POLICY. */
import type { DefaultInboundPolicy } from "../../model/mesh-config.ts";
import { type PortRange, rangesInclude } from "../../model/ports.ts";
import { type Authorize, authorizeBy, forbidAll } from "./authorization.ts";
import type { InboundServer } from "./inbound.ts";
import type { Network } from "./networks.ts";
import { assembleServer, defaultRoute, serverLabels } from "./server.ts";

export interface DefaultPolicyOptions {
  readonly policy: DefaultInboundPolicy;
  readonly clusterNetworks: readonly Network[];
  readonly opaquePorts: readonly PortRange[];
  readonly detectTimeoutMs: number;
}

export function defaultServer(options: DefaultPolicyOptions, port: number): InboundServer {
  const authorize = compileDefault(options.policy, options.clusterNetworks);
  const opaque = rangesInclude(options.opaquePorts, port);
  return assembleServer({
    protocol: opaque ? "opaque" : "detect",
    detectTimeoutMs: options.detectTimeoutMs,
    labels: serverLabels("", "default", options.policy, port),
    authorize,
    rateLimit: undefined,
    routes: opaque ? [] : [defaultRoute("default", authorize)],
  });
}

function compileDefault(policy: DefaultInboundPolicy, clusterNetworks: readonly Network[]): Authorize {
  switch (policy) {
    case "all-unauthenticated":
    case "audit":
      return authorizeBy(policy, "any", "unauthenticated");
    case "all-authenticated":
      return authorizeBy(policy, "any", "authenticated");
    case "cluster-unauthenticated":
      return authorizeBy(policy, clusterNetworks, "unauthenticated");
    case "cluster-authenticated":
      return authorizeBy(policy, clusterNetworks, "authenticated");
    case "deny":
      return forbidAll;
  }
}
