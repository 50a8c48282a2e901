/**
 * This process' own leaf of the mesh, by which proxies let it tap and other replicas take its queries: asked of the
 * identity service beside it, as proxies do (reference 5.4). The key never leaves this process.
 */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { ChannelCredentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { CertifyResponse } from "../../api/gen/io/linkerd/proxy/identity.ts";
import { IdentityClient } from "../../api/service-clients.ts";
import { certificatePem } from "../../x509/certificate.ts";
import { dnsNames, verifyChain } from "../../x509/chain.ts";
import { generateKeyPair, privateKeyPem } from "../../x509/keys.ts";
import { createSigningRequest } from "../../x509/signing-request.ts";
import { type Log, messageOf } from "../config/log.ts";
import type { ServingMaterial } from "./serving-material.ts";

export interface OwnIdentityOptions {
  /** `weft-controller.<ns>.serviceaccount.identity.<ns>.<trust domain>`: this process', and the identity service's too. */
  readonly name: string;
  readonly tokenFile: string;
  /** `host:port` of the identity service. */
  readonly identityAddress: string;
  readonly material: ServingMaterial;
  readonly log: Log;
}

export interface OwnLeaf {
  /** PEM: leaf and intermediates. */
  readonly chain: string;
  readonly key: string;
  readonly notAfter: Date;
  /** For connections to proxies: this leaf, the mesh's trust anchors, TLS 1.3. */
  readonly context: SecureContext;
}

const RENEW_AT = 0.7;
const MIN_RENEW_MS = 10_000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
const CERTIFY_TIMEOUT_MS = 10_000;

export class OwnIdentity {
  readonly name: string;
  readonly #options: OwnIdentityOptions;
  readonly #keys = generateKeyPair();
  readonly #request: Buffer;
  #leaf: OwnLeaf | undefined;
  #anchors = "";
  #failure = "it has not been asked for yet";
  #retryMs = FIRST_RETRY_MS;
  #timer: NodeJS.Timeout | undefined;
  #client: IdentityClient | undefined;
  readonly #unsubscribe: () => void;
  #stopped = false;

  constructor(options: OwnIdentityOptions) {
    this.#options = options;
    this.name = options.name;
    this.#request = createSigningRequest(options.name, this.#keys.privateKey);
    this.#unsubscribe = options.material.onChange(() => {
      if (options.material.anchorsPem !== this.#anchors) this.#schedule(0);
    });
    this.#schedule(0);
  }

  /** The leaf in force. @throws Error saying why there is none */
  get leaf(): OwnLeaf {
    if (this.#leaf === undefined || this.#leaf.notAfter.getTime() <= Date.now()) {
      throw new Error(`this process has no valid mesh certificate: ${this.#failure}`);
    }
    return this.#leaf;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#unsubscribe();
    this.#client?.close();
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#renew(), delayMs);
  }

  async #renew(): Promise<void> {
    const { log, material } = this.#options;
    const anchors = material.anchorsPem;
    if (anchors === "") {
      // Their arrival schedules the next try.
      this.#failure = "the trust anchors are not written yet";
      return;
    }
    try {
      const leaf = await this.#certify(anchors);
      if (this.#stopped) return;
      this.#leaf = leaf;
      this.#anchors = anchors;
      this.#retryMs = FIRST_RETRY_MS;
      log.info("mesh certificate obtained", { until: leaf.notAfter.toISOString() });
      this.#schedule(Math.max((leaf.notAfter.getTime() - Date.now()) * RENEW_AT, MIN_RENEW_MS));
    } catch (error) {
      if (this.#stopped) return;
      this.#failure = messageOf(error);
      log.warn("no mesh certificate", { reason: this.#failure, retryMs: this.#retryMs });
      this.#schedule(this.#retryMs * (0.5 + Math.random() / 2));
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
    }
  }

  async #certify(anchors: string): Promise<OwnLeaf> {
    const { name, tokenFile, material } = this.#options;
    const token = await readFile(tokenFile);
    const response = await this.#ask(anchors, token);
    const certificate = new X509Certificate(response.leafCertificate);
    const intermediates = response.intermediateCertificates.map((der) => new X509Certificate(der));
    verifyChain(certificate, intermediates, material.anchors);
    if (dnsNames(certificate)[0] !== name) {
      throw new Error(`the identity service certified "${dnsNames(certificate)[0]}" instead of "${name}"`);
    }
    const chain = [certificate, ...intermediates].map(certificatePem).join("");
    const key = privateKeyPem(this.#keys.privateKey);
    const context = createSecureContext({
      cert: chain,
      key,
      ca: anchors,
      // An anchor need not be self-signed.
      allowPartialTrustChain: true,
      minVersion: "TLSv1.3",
    });
    return { chain, key, notAfter: certificate.validToDate, context };
  }

  async #ask(anchors: string, token: Buffer): Promise<CertifyResponse> {
    const { name, identityAddress } = this.#options;
    const context = createSecureContext({ ca: anchors, allowPartialTrustChain: true, minVersion: "TLSv1.3" });
    this.#client?.close();
    const client = new IdentityClient(identityAddress, ChannelCredentials.createFromSecureContext(context), {
      "grpc.ssl_target_name_override": name,
      "grpc.enable_channelz": 0,
      // The service is this process' neighbour: no way through a proxy of the environment's.
      "grpc.enable_http_proxy": 0,
    });
    this.#client = client;
    try {
      return await new Promise((resolve, reject) => {
        client.certify(
          { identity: name, token, certificateSigningRequest: this.#request },
          new Metadata(),
          { deadline: Date.now() + CERTIFY_TIMEOUT_MS },
          (error: ServiceError | null, response: CertifyResponse) =>
            error === null ? resolve(response) : reject(new Error(`Certify at ${identityAddress}: ${error.message}`)),
        );
      });
    } finally {
      client.close();
      this.#client = undefined;
    }
  }
}
