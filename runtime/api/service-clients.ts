/**
 * grpc-js clients of the generated services, for the controller and for tests. In a file of their own, for they load grpc-js:
 * the proxy takes messages and method definitions from the generated files and carries them itself.
 */
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type Metadata,
  makeGenericClientConstructor,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { DestinationService } from "./gen/io/linkerd/proxy/destination.ts";
import { IdentityService } from "./gen/io/linkerd/proxy/identity.ts";
import { InboundServerPoliciesService } from "./gen/io/linkerd/proxy/inbound.ts";
import { OutboundPoliciesService } from "./gen/io/linkerd/proxy/outbound.ts";
import { TapService } from "./gen/io/linkerd/proxy/tap.ts";

interface UnaryMethod<Request, Response> {
  readonly responseStream: false;
  requestDeserialize(bytes: Buffer): Request;
  responseDeserialize(bytes: Buffer): Response;
}

interface StreamMethod<Request, Response> {
  readonly responseStream: true;
  requestDeserialize(bytes: Buffer): Request;
  responseDeserialize(bytes: Buffer): Response;
}

interface UnaryCaller<Request, Response> {
  (request: Request, callback: (error: ServiceError | null, response: Response) => void): ClientUnaryCall;
  (
    request: Request,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Response) => void,
  ): ClientUnaryCall;
}

type StreamCaller<Request, Response> = (
  request: Request,
  options?: Partial<CallOptions>,
) => ClientReadableStream<Response>;

/** A client with a function for each method of `Service`. */
type ServiceClient<Service> = Client & {
  readonly [Method in keyof Service]: Service[Method] extends StreamMethod<infer Request, infer Response>
    ? StreamCaller<Request, Response>
    : Service[Method] extends UnaryMethod<infer Request, infer Response>
      ? UnaryCaller<Request, Response>
      : never;
};

type ClientConstructor<Service> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: Partial<ClientOptions>,
) => ServiceClient<Service>;

function clientOf<Service extends ServiceDefinition>(service: Service, name: string): ClientConstructor<Service> {
  return makeGenericClientConstructor(service, name) as unknown as ClientConstructor<Service>;
}

export type DestinationClient = ServiceClient<DestinationService>;
export const DestinationClient = clientOf(DestinationService, "io.linkerd.proxy.destination.Destination");

export type IdentityClient = ServiceClient<IdentityService>;
export const IdentityClient = clientOf(IdentityService, "io.linkerd.proxy.identity.Identity");

export type InboundServerPoliciesClient = ServiceClient<InboundServerPoliciesService>;
export const InboundServerPoliciesClient = clientOf(
  InboundServerPoliciesService,
  "io.linkerd.proxy.inbound.InboundServerPolicies",
);

export type OutboundPoliciesClient = ServiceClient<OutboundPoliciesService>;
export const OutboundPoliciesClient = clientOf(OutboundPoliciesService, "io.linkerd.proxy.outbound.OutboundPolicies");

export type TapClient = ServiceClient<TapService>;
export const TapClient = clientOf(TapService, "io.linkerd.proxy.tap.Tap");
