/** io.linkerd.proxy.inbound.InboundServerPolicies and io.linkerd.proxy.outbound.OutboundPolicies (reference 5.3). */
import { type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from "@grpc/grpc-js";
import { type InboundServerPoliciesServer, type PortSpec, Server } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import {
  type OutboundPoliciesServer,
  OutboundPolicy,
  type TrafficSpec,
} from "../../api/gen/io/linkerd/proxy/outbound.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { fromIpAddress } from "../destination/addresses.ts";
import { parseAuthority } from "../destination/authority.ts";
import { type ClusterState, keyOf, topic } from "../destination/cluster-state.ts";
import { GrpcError, toServiceError } from "../grpc/errors.ts";
import { type Snapshot, watchSnapshots } from "../grpc/snapshot-stream.ts";
import { defaultServer } from "./inbound-server.ts";
import { addressPolicy, servicePolicy } from "./outbound-policy.ts";
import { parseWorkload } from "./workload.ts";

export interface PolicyOptions {
  readonly state: ClusterState;
  readonly mesh: MeshConfig;
  /** Told when a stream ends because its client did not read. */
  readonly onOverflow?: () => void;
}

/** A proxy may ask before the watch has told of its pod: that long it waits for it. */
const UNKNOWN_POD_PATIENCE_MS = 1_000;

export function inboundPolicies(options: PolicyOptions): InboundServerPoliciesServer {
  const { state, mesh, onOverflow = () => {} } = options;
  const read = ({ port, workload }: PortSpec): Snapshot<Server> => {
    const key = podKey(workload, port);
    const pod = state.pod(key);
    if (pod === undefined) throw new GrpcError(status.NOT_FOUND, `unknown server: there is no pod ${key}`);
    return { value: defaultServer(state, mesh, pod, port), topics: [topic.pod(key)] };
  };
  return {
    getPort(call: ServerUnaryCall<PortSpec, Server>, callback: sendUnaryData<Server>) {
      answer(callback, () => read(call.request).value);
    },
    watchPort(call: ServerWritableStream<PortSpec, Server>) {
      const begin = (): void =>
        watchSnapshots(call, {
          topics: state.topics,
          encode: (value: Server) => Server.encode(value).finish(),
          read: () => read(call.request),
          onOverflow,
        });
      const key = parseWorkload(call.request.workload);
      if (key === undefined || state.pod(key) !== undefined) begin();
      else whenKnown(state, key, call, begin);
    },
  };
}

export function outboundPolicies(options: PolicyOptions): OutboundPoliciesServer {
  const { state, mesh, onOverflow = () => {} } = options;
  const read = (spec: TrafficSpec): Snapshot<OutboundPolicy> => resolve(state, mesh, spec);
  return {
    get(call: ServerUnaryCall<TrafficSpec, OutboundPolicy>, callback: sendUnaryData<OutboundPolicy>) {
      answer(callback, () => read(call.request).value);
    },
    watch(call: ServerWritableStream<TrafficSpec, OutboundPolicy>) {
      watchSnapshots(call, {
        topics: state.topics,
        encode: (value: OutboundPolicy) => OutboundPolicy.encode(value).finish(),
        read: () => read(call.request),
        onOverflow,
      });
    },
  };
}

function resolve(state: ClusterState, mesh: MeshConfig, { target }: TrafficSpec): Snapshot<OutboundPolicy> {
  if (target === undefined) throw new GrpcError(status.INVALID_ARGUMENT, "there is no target");
  if (target.$case === "addr") {
    const { ip: address, port } = target.value;
    const ip = fromIpAddress(address);
    if (ip === undefined || port < 1 || port > 65535) {
      throw new GrpcError(status.INVALID_ARGUMENT, "the target needs an IP address and a port");
    }
    return resolveAddress(state, mesh, ip, port);
  }
  const authority = parseAuthority(target.value, mesh.clusterDomain);
  if (authority === undefined) throw new GrpcError(status.INVALID_ARGUMENT, `"${target.value}" is no host:port`);
  if (authority.kind === "ip") return resolveAddress(state, mesh, authority.ip, authority.port);
  if (authority.kind === "foreign") {
    throw new GrpcError(status.NOT_FOUND, `"${target.value}" is no Service of this cluster`);
  }
  const service = state.service(authority.key);
  if (service === undefined || service.external) {
    throw new GrpcError(status.NOT_FOUND, `there is no Service ${authority.key} with endpoints`);
  }
  return {
    value: servicePolicy(state, mesh, service, authority.port),
    topics: [topic.service(authority.key)],
  };
}

function resolveAddress(state: ClusterState, mesh: MeshConfig, ip: string, port: number): Snapshot<OutboundPolicy> {
  const service = state.serviceByIp(ip);
  if (service !== undefined) {
    return {
      value: servicePolicy(state, mesh, service, port),
      topics: [topic.ip(ip), topic.service(keyOf(service))],
    };
  }
  const pods = state.podsAt(ip, port).map((pod) => topic.pod(keyOf(pod)));
  return { value: addressPolicy(state, mesh, ip, port), topics: [topic.ip(ip), ...pods] };
}

function podKey(workload: string, port: number): string {
  const key = parseWorkload(workload);
  if (key === undefined) {
    throw new GrpcError(status.INVALID_ARGUMENT, `the workload must be {"ns":…,"pod":…}, not "${workload}"`);
  }
  if (port < 1 || port > 65535) throw new GrpcError(status.INVALID_ARGUMENT, `${port} is no port`);
  return key;
}

function whenKnown(
  state: ClusterState,
  key: string,
  call: ServerWritableStream<PortSpec, Server>,
  begin: () => void,
): void {
  let done = false;
  const finish = (): void => {
    if (done) return;
    done = true;
    clearTimeout(timer);
    stop();
    if (!call.cancelled) begin();
  };
  const stop = state.topics.subscribe(topic.pod(key), finish);
  const timer = setTimeout(finish, UNKNOWN_POD_PATIENCE_MS);
  call.on("cancelled", finish);
}

function answer<T>(callback: sendUnaryData<T>, read: () => T): void {
  let value: T;
  try {
    value = read();
  } catch (error) {
    callback(toServiceError(error));
    return;
  }
  callback(null, value);
}
