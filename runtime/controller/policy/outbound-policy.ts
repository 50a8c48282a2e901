/**
 * How a proxy treats one target where no route says anything (reference 5.3): a Service's default route, an address
 * outside, a port that a Service does not have. Routes of CRDs come in at {@link servicePolicy}.
 */
import type { DestinationProfile, WeightedAddr } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { Metadata } from "../../api/gen/io/linkerd/proxy/meta.ts";
import type {
  Backend,
  HttpRoute,
  OpaqueRoute,
  OutboundPolicy,
  ProxyProtocol,
} from "../../api/gen/io/linkerd/proxy/outbound.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { serviceFqdn } from "../destination/authority.ts";
import { type ClusterState, keyOf } from "../destination/cluster-state.ts";
import { isOpaque } from "../destination/opaque-ports.ts";
import { addressProfile, podProfile } from "../destination/profile.ts";
import type { ServiceView } from "../destination/projections.ts";

const DETECT_TIMEOUT = { seconds: 10n, nanos: 0 };
const QUEUE = { capacity: 100, failfastTimeout: { seconds: 3n, nanos: 0 } };
const PEAK_EWMA = { defaultRtt: { seconds: 0n, nanos: 30_000_000 }, decay: { seconds: 10n, nanos: 0 } };

export function servicePolicy(
  state: ClusterState,
  mesh: MeshConfig,
  service: ServiceView,
  port: number,
): OutboundPolicy {
  const { name, namespace = "" } = service.metadata;
  const metadata: Metadata = {
    kind: { $case: "resource", value: { group: "core", kind: "Service", name, namespace, section: "", port } },
  };
  const declared = service.ports.find((candidate) => candidate.port === port);
  if (declared === undefined) return { metadata, protocol: forbidden("undefined-port") };
  const path = `${serviceFqdn(keyOf(service), mesh.clusterDomain)}:${port}`;
  const backend: Backend = {
    metadata,
    kind: {
      $case: "balancer",
      value: {
        discovery: { kind: { $case: "dst", value: { path } } },
        load: { $case: "peakEwma", value: PEAK_EWMA },
      },
    },
    queue: QUEUE,
  };
  const opaque = isOpaque(state, mesh, service, port);
  return { metadata, protocol: protocolOf(declared.appProtocol, opaque, backend, { http: "http", opaque: "opaq" }) };
}

/** Straight to where the application wanted to go. A meshed pod's own address is met with its identity all the same. */
export function addressPolicy(state: ClusterState, mesh: MeshConfig, ip: string, port: number): OutboundPolicy {
  const [pod] = state.podsAt(ip, port);
  const profile: DestinationProfile =
    pod === undefined ? addressProfile(mesh, ip, port) : podProfile(state, mesh, pod, ip, port);
  const metadata: Metadata = { kind: { $case: "default", value: "egress-fallback" } };
  const backend: Backend = {
    metadata,
    kind: { $case: "forward", value: profile.endpoint as WeightedAddr },
    queue: QUEUE,
  };
  const names = { http: "egress-fallback", opaque: "egress-fallback" };
  return { metadata, protocol: protocolOf(undefined, profile.opaqueProtocol, backend, names) };
}

/** A Service's appProtocol comes before its opaque ports; values that nobody here knows are carried as they are. */
function protocolOf(
  appProtocol: string | undefined,
  opaque: boolean,
  backend: Backend,
  names: { readonly http: string; readonly opaque: string },
): ProxyProtocol {
  const http = { routes: [httpRoute(names.http, backend)], failureAccrual: undefined };
  const raw = { routes: [opaqueRoute(names.opaque, backend)] };
  if (appProtocol === "http") return { kind: { $case: "http1", value: http } };
  if (appProtocol === "kubernetes.io/h2c") return { kind: { $case: "http2", value: http } };
  if (appProtocol !== undefined || opaque) return { kind: { $case: "opaque", value: raw } };
  return {
    kind: { $case: "detect", value: { timeout: DETECT_TIMEOUT, opaque: raw, http1: http, http2: http } },
  };
}

function httpRoute(name: string, backend: Backend): HttpRoute {
  return {
    metadata: { kind: { $case: "default", value: name } },
    hosts: [],
    rules: [
      {
        matches: [{ path: { kind: { $case: "prefix", value: "/" } }, headers: [], queryParams: [], method: undefined }],
        filters: [],
        backends: {
          kind: {
            $case: "firstAvailable",
            value: { backends: [{ backend, filters: [], requestTimeout: undefined }] },
          },
        },
        requestTimeout: undefined,
        timeouts: undefined,
        retry: undefined,
        allowL5dRequestHeaders: false,
      },
    ],
  };
}

function opaqueRoute(name: string, backend: Backend): OpaqueRoute {
  return {
    metadata: { kind: { $case: "default", value: name } },
    rules: [
      {
        backends: { kind: { $case: "firstAvailable", value: { backends: [{ backend, filters: [] }] } } },
        filters: [],
      },
    ],
  };
}

function forbidden(name: string): ProxyProtocol {
  const route: OpaqueRoute = {
    metadata: { kind: { $case: "default", value: name } },
    rules: [
      {
        backends: { kind: { $case: "empty", value: {} } },
        filters: [{ kind: { $case: "forbidden", value: {} } }],
      },
    ],
  };
  return { kind: { $case: "opaque", value: { routes: [route] } } };
}
