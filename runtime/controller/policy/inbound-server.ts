/**
 * The policy of one port of one pod where no manifest says anything (reference 5.3). Servers and routes of CRDs come in
 * here: they take the place of {@link defaultServer} for the ports they select.
 */

import type { HttpRouteMatch } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import type { HttpRoute, ProxyProtocol, Server } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { annotation } from "../../model/names.ts";
import { toIpAddress } from "../destination/addresses.ts";
import type { ClusterState } from "../destination/cluster-state.ts";
import { configAnnotation, isOpaque } from "../destination/opaque-ports.ts";
import type { PodView } from "../destination/projections.ts";
import { defaultAuthorizations, isDefaultPolicy, probeAuthorization } from "./authorizations.ts";

const DETECT_TIMEOUT = { seconds: 10n, nanos: 0 };

export function defaultServer(state: ClusterState, mesh: MeshConfig, pod: PodView, port: number): Server {
  const named = configAnnotation(state, pod, annotation.defaultInboundPolicy);
  const policy = isDefaultPolicy(named) ? named : mesh.defaultInboundPolicy;
  const authorizations = defaultAuthorizations(policy, mesh.clusterNetworks);
  const protocol: ProxyProtocol = isOpaque(state, mesh, pod, port)
    ? { kind: { $case: "opaque", value: {} } }
    : {
        kind: {
          $case: "detect",
          value: {
            timeout: DETECT_TIMEOUT,
            httpRoutes: [...probeRoutes(pod, port), route("default", authorizations, [matchPrefix("/")])],
            httpLocalRateLimit: undefined,
          },
        },
      };
  return {
    protocol,
    serverIps: pod.ips.map(toIpAddress),
    authorizations,
    labels: { group: "", kind: "default", name: policy },
  };
}

/** One route for all probes of a port. It stands before the default one: proxies that take the first match need no ranking. */
function probeRoutes(pod: PodView, port: number): HttpRoute[] {
  const paths = [...new Set(pod.probes.filter((probe) => probe.port === port).map(({ path }) => path))].sort();
  if (paths.length === 0) return [];
  return [route("probe", [probeAuthorization()], paths.map(matchProbe))];
}

function route(name: string, authorizations: HttpRoute["authorizations"], matches: HttpRouteMatch[]): HttpRoute {
  return {
    metadata: { kind: { $case: "default", value: name } },
    hosts: [],
    authorizations,
    rules: [{ matches, filters: [] }],
  };
}

function matchPrefix(prefix: string): HttpRouteMatch {
  return {
    path: { kind: { $case: "prefix", value: prefix } },
    headers: [],
    queryParams: [],
    method: undefined,
  };
}

function matchProbe(path: string): HttpRouteMatch {
  return {
    path: { kind: { $case: "exact", value: path } },
    headers: [],
    queryParams: [],
    method: { type: { $case: "registered", value: 0 } },
  };
}
