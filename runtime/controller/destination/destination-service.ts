/** io.linkerd.proxy.destination.Destination: where a Service's endpoints are, and what a target is (reference 5.2). */
import { isIP } from "node:net";
import { type ServerWritableStream, status } from "@grpc/grpc-js";
import {
  DestinationProfile,
  type DestinationServer,
  type GetDestination,
  type Update,
} from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { GrpcError } from "../grpc/errors.ts";
import { type Snapshot, watchSnapshots } from "../grpc/snapshot-stream.ts";
import { UpdateStream } from "../grpc/update-stream.ts";
import { type Authority, parseAuthority, parseContextToken } from "./authority.ts";
import { type ClusterState, topic } from "./cluster-state.ts";
import { EndpointPublisher, type EndpointSubscriber } from "./endpoint-publisher.ts";
import { addressProfile, podProfile, serviceProfile } from "./profile.ts";

export interface DestinationOptions {
  readonly state: ClusterState;
  readonly mesh: MeshConfig;
  /** Told when a stream ends because its client did not read. */
  readonly onOverflow?: (kind: "endpoints" | "profile") => void;
}

export class DestinationService {
  readonly #state: ClusterState;
  readonly #mesh: MeshConfig;
  readonly #onOverflow: (kind: "endpoints" | "profile") => void;
  readonly #publishers = new Map<string, EndpointPublisher>();

  constructor({ state, mesh, onOverflow = () => {} }: DestinationOptions) {
    this.#state = state;
    this.#mesh = mesh;
    this.#onOverflow = onOverflow;
  }

  implementation(): DestinationServer {
    return {
      get: (call) => this.#get(call),
      getProfile: (call) => this.#getProfile(call),
    };
  }

  stop(): void {
    for (const publisher of this.#publishers.values()) publisher.stop();
    this.#publishers.clear();
  }

  #get(call: ServerWritableStream<GetDestination, Update>): void {
    const stream = new UpdateStream(call, () => this.#onOverflow("endpoints"));
    const { path, contextToken } = call.request;
    try {
      const authority = this.#parse(path);
      if (authority.kind !== "service") {
        throw new GrpcError(status.INVALID_ARGUMENT, `"${path}" is no Service of this cluster`);
      }
      const service = this.#state.service(authority.key);
      if (service === undefined) throw new GrpcError(status.NOT_FOUND, `there is no Service ${authority.key}`);
      if (service.external) {
        throw new GrpcError(
          status.INVALID_ARGUMENT,
          `Service ${authority.key} is of type ExternalName: it has no endpoints`,
        );
      }
      const { nodeName } = parseContextToken(contextToken);
      const { kind: _, key, ...rest } = authority;
      const publisherKey = `${key}:${rest.port} ${rest.hostname ?? ""}`;
      let publisher = this.#publishers.get(publisherKey);
      if (publisher === undefined) {
        publisher = new EndpointPublisher(this.#state, this.#mesh, { service: key, ...rest });
        this.#publishers.set(publisherKey, publisher);
      }
      const current = publisher;
      const subscriber: EndpointSubscriber = {
        locality: { nodeName, zone: this.#state.zoneOf(nodeName) },
        send: (update) => stream.send(update),
      };
      stream.onEnd(() => {
        current.remove(subscriber);
        if (!current.empty) return;
        current.stop();
        if (this.#publishers.get(publisherKey) === current) this.#publishers.delete(publisherKey);
      });
      current.add(subscriber);
    } catch (error) {
      stream.fail(error);
    }
  }

  #getProfile(call: ServerWritableStream<GetDestination, DestinationProfile>): void {
    watchSnapshots(call, {
      topics: this.#state.topics,
      encode: (value: DestinationProfile) => DestinationProfile.encode(value).finish(),
      read: () => this.#profile(call.request),
      onOverflow: () => this.#onOverflow("profile"),
    });
  }

  #profile({ path }: GetDestination): Snapshot<DestinationProfile> {
    const authority = this.#parse(path);
    if (authority.kind === "foreign") {
      throw new GrpcError(status.INVALID_ARGUMENT, `"${path}" is no name of this cluster`);
    }
    if (authority.kind === "service") {
      const service = this.#state.service(authority.key);
      if (service === undefined) throw new GrpcError(status.NOT_FOUND, `there is no Service ${authority.key}`);
      if (service.external) {
        throw new GrpcError(status.INVALID_ARGUMENT, `Service ${authority.key} is of type ExternalName`);
      }
      const profile = serviceProfile(this.#state, this.#mesh, service, authority.port);
      return { value: profile, topics: [topic.service(authority.key)] };
    }
    return this.#addressProfile(authority.ip, authority.port);
  }

  #addressProfile(ip: string, port: number): Snapshot<DestinationProfile> {
    const service = this.#state.serviceByIp(ip);
    if (service !== undefined) {
      const { namespace, name } = service.metadata;
      const profile = serviceProfile(this.#state, this.#mesh, service, port);
      return { value: profile, topics: [topic.ip(ip), topic.service(`${namespace}/${name}`)] };
    }
    const [pod, ...others] = this.#state.podsAt(ip, port);
    if (others.length > 0) {
      throw new GrpcError(status.FAILED_PRECONDITION, `several pods have the address ${ip}`);
    }
    if (pod === undefined) return { value: addressProfile(this.#mesh, ip, port), topics: [topic.ip(ip)] };
    const { namespace, name } = pod.metadata;
    return {
      value: podProfile(this.#state, this.#mesh, pod, ip, port),
      topics: [topic.ip(ip), topic.pod(`${namespace}/${name}`)],
    };
  }

  #parse(path: string): Authority {
    const authority = parseAuthority(path, this.#mesh.clusterDomain);
    if (authority === undefined) throw new GrpcError(status.INVALID_ARGUMENT, `"${path}" is no host:port`);
    if (authority.kind === "ip" && isIP(authority.ip) === 0) {
      throw new GrpcError(status.INVALID_ARGUMENT, `"${authority.ip}" is no IP address`);
    }
    return authority;
  }
}
