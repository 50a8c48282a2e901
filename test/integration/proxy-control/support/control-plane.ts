/** A control plane that a test scripts: the real services over real TLS, whose answers the test sets and changes. */
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import {
  type DestinationProfile,
  DestinationService,
  type GetDestination,
  type Update,
} from "../../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import {
  type CertifyRequest,
  type CertifyResponse,
  IdentityService,
} from "../../../../runtime/api/gen/io/linkerd/proxy/identity.ts";
import {
  type Server as InboundServer,
  InboundServerPoliciesService,
  type PortSpec,
} from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import {
  OutboundPoliciesService,
  type OutboundPolicy,
  type TrafficSpec,
} from "../../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { addressFromWire } from "../../../../runtime/proxy/outbound/discovery-endpoint.ts";
import { certificatePem, issueLeaf } from "../../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../../runtime/x509/keys.ts";
import { parseSigningRequest } from "../../../../runtime/x509/signing-request.ts";
import type { TestAuthority } from "./authority.ts";

export const CONTROLLER_IDENTITY = "weft-controller.weft.serviceaccount.identity.weft.cluster.local";

/** What a stream is told: messages, or the status that ends it. */
type Answer<Message> = Message | { readonly code: status; readonly details: string };

/** The streams open for one key, and what the next one hears first. */
class Topic<Message extends object> {
  readonly open = new Set<ServerWritableStream<never, Message>>();
  first: readonly Answer<Message>[] = [];

  serve(call: ServerWritableStream<never, Message>): void {
    this.open.add(call);
    call.on("cancelled", () => this.open.delete(call));
    call.on("close", () => this.open.delete(call));
    for (const answer of this.first) tell(call, answer);
  }

  push(answer: Answer<Message>): void {
    for (const call of this.open) tell(call, answer);
  }
}

function tell<Message extends object>(call: ServerWritableStream<never, Message>, answer: Answer<Message>): void {
  if ("code" in answer && "details" in answer) call.emit("error", Object.assign(new Error("told"), answer));
  else call.write(answer);
}

export interface ControlPlaneOptions {
  readonly authority: TestAuthority;
  /** Life of the leaves it issues, milliseconds. Default a day. */
  readonly leafLifeMs?: number;
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
}

export class ControlPlane {
  readonly certified: CertifyRequest[] = [];
  readonly asked = { policies: [] as string[], profiles: [] as string[], gets: [] as string[], ports: [] as number[] };
  /** Refuses Certify while set. */
  refusal: { code: status; details: string } | undefined;
  leafLifeMs: number;
  authority: TestAuthority;
  readonly #policies = new Map<string, Topic<OutboundPolicy>>();
  readonly #profiles = new Map<string, Topic<DestinationProfile>>();
  readonly #gets = new Map<string, Topic<Update>>();
  readonly #ports = new Map<number, Topic<InboundServer>>();
  #servers: Server[] = [];
  #bound: { identity: number; services: number } | undefined;
  readonly #host: string;

  constructor(options: ControlPlaneOptions) {
    this.authority = options.authority;
    this.leafLifeMs = options.leafLifeMs ?? 86_400_000;
    this.#host = options.host ?? "127.0.0.1";
  }

  /** Ports of identity, and of destination and policy together. The same ones again after {@link stop}. */
  async start(wanted: { identity: number; services: number } = { identity: 0, services: 0 }): Promise<{
    identity: number;
    services: number;
  }> {
    const identity = new Server();
    identity.addService(IdentityService, { certify: this.#certify });
    const services = new Server();
    services.addService(DestinationService, { get: this.#get, getProfile: this.#getProfile });
    services.addService(OutboundPoliciesService, { get: unimplemented, watch: this.#watch });
    services.addService(InboundServerPoliciesService, { getPort: unimplemented, watchPort: this.#watchPort });
    this.#servers = [identity, services];
    const ports = this.#bound ?? wanted;
    this.#bound = {
      identity: await this.#listen(identity, ports.identity, false),
      services: await this.#listen(services, ports.services, true),
    };
    return this.#bound;
  }

  /** Where it listens. @throws Error before {@link start} */
  get ports(): { identity: number; services: number } {
    if (this.#bound === undefined) throw new Error("the control plane was not started");
    return this.#bound;
  }

  /** Ends every connection at once, as a crash would. */
  stop(): void {
    for (const server of this.#servers) server.forceShutdown();
    this.#servers = [];
    for (const topics of [this.#policies, this.#profiles, this.#gets, this.#ports]) {
      for (const topic of topics.values()) topic.open.clear();
    }
  }

  /** @param target `ip:port` */
  policy(target: string): Topic<OutboundPolicy> {
    return topicOf(this.#policies, target);
  }

  profile(path: string): Topic<DestinationProfile> {
    return topicOf(this.#profiles, path);
  }

  destination(path: string): Topic<Update> {
    return topicOf(this.#gets, path);
  }

  inbound(port: number): Topic<InboundServer> {
    return topicOf(this.#ports, port);
  }

  readonly #certify: handleUnaryCall<CertifyRequest, CertifyResponse> = (call, callback) => {
    this.certified.push(call.request);
    if (this.refusal !== undefined) {
      callback(this.refusal);
      return;
    }
    const request = parseSigningRequest(call.request.certificateSigningRequest);
    const leaf = issueLeaf(this.authority.issuer, {
      publicKey: request.publicKey,
      commonName: call.request.identity,
      dnsNames: [call.request.identity],
      notBefore: new Date(Date.now() - 20_000),
      notAfter: new Date(Date.now() + this.leafLifeMs),
    });
    callback(null, {
      leafCertificate: leaf.raw,
      intermediateCertificates: [this.authority.issuer.certificate.raw],
      validUntil: leaf.validToDate,
    });
  };

  readonly #get: handleServerStreamingCall<GetDestination, Update> = (call) => {
    this.asked.gets.push(call.request.path);
    this.destination(call.request.path).serve(call as ServerWritableStream<never, Update>);
  };

  readonly #getProfile: handleServerStreamingCall<GetDestination, DestinationProfile> = (call) => {
    this.asked.profiles.push(call.request.path);
    this.profile(call.request.path).serve(call as ServerWritableStream<never, DestinationProfile>);
  };

  readonly #watch: handleServerStreamingCall<TrafficSpec, OutboundPolicy> = (call) => {
    const { target } = call.request;
    const key = (target?.$case === "addr" ? addressFromWire(target.value) : target?.value) ?? "";
    this.asked.policies.push(key);
    this.policy(key).serve(call as ServerWritableStream<never, OutboundPolicy>);
  };

  readonly #watchPort: handleServerStreamingCall<PortSpec, InboundServer> = (call) => {
    this.asked.ports.push(call.request.port);
    this.inbound(call.request.port).serve(call as ServerWritableStream<never, InboundServer>);
  };

  #listen(server: Server, port: number, clientLeaf: boolean): Promise<number> {
    const keys = generateKeyPair();
    const leaf = issueLeaf(this.authority.issuer, {
      publicKey: keys.publicKey,
      dnsNames: [CONTROLLER_IDENTITY],
      notBefore: new Date(Date.now() - 20_000),
      notAfter: new Date(Date.now() + 86_400_000),
    });
    const chain = certificatePem(leaf) + certificatePem(this.authority.issuer.certificate);
    const pair = { private_key: Buffer.from(privateKeyPem(keys.privateKey)), cert_chain: Buffer.from(chain) };
    const credentials = ServerCredentials.createSsl(Buffer.from(this.authority.anchorsPem), [pair], clientLeaf);
    return new Promise((resolve, reject) => {
      server.bindAsync(`${this.#host}:${port}`, credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
  }
}

function topicOf<Key, Message extends object>(topics: Map<Key, Topic<Message>>, key: Key): Topic<Message> {
  let topic = topics.get(key);
  if (topic === undefined) {
    topic = new Topic();
    topics.set(key, topic);
  }
  return topic;
}

/** Proxies watch; nobody asks once. */
function unimplemented(_call: unknown, callback: (error: { code: status; details: string }) => void): void {
  callback({ code: status.UNIMPLEMENTED, details: "not asked by proxies" });
}
