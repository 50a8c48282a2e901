/**
 * The proxy's certificate over its life (reference 5.4): a key that stays in this process, a signing request, Certify with
 * the mounted token, renewal at 70 % of what is left, and nothing at all once the leaf has expired.
 */
import { type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { SecureContext } from "node:tls";
import { IdentityService } from "../../api/gen/io/linkerd/proxy/identity.ts";
import { dnsNames, verifyChain } from "../../x509/chain.ts";
import { generateKeyPair, privateKeyPem } from "../../x509/keys.ts";
import { createSigningRequest } from "../../x509/signing-request.ts";
import { Backoff } from "../control/backoff.ts";
import type { ControlClient } from "../control/client.ts";
import type { Logger } from "../log.ts";
import { anchorsContext, leafContext } from "./contexts.ts";
import type { LocalIdentity } from "./local-identity.ts";
import type { TrustBundleSource } from "./trust-bundle.ts";

export interface CertifierOptions {
  readonly name: string;
  readonly tokenFile: string;
  readonly trust: TrustBundleSource;
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  readonly log: Logger;
  /** Told of each attempt, for `control_identity_cert_refreshes_total`. */
  readonly onRefresh?: (result: "ok" | "error") => void;
}

interface Leaf {
  readonly certificate: X509Certificate;
  readonly intermediates: readonly X509Certificate[];
}

const RENEW_AT = 0.7;
const CERTIFY_TIMEOUT_MS = 10_000;
/** Linkerd's pauses between attempts. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** While there is no certificate, a whole pod waits for it. */
const LONGEST_PAUSE_WITHOUT_MS = 3_000;
/** setTimeout's limit; leaves of longer life are looked at again then. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Certifier implements LocalIdentity {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly #options: CertifierOptions;
  readonly #keyPem: string;
  readonly #request: Buffer;
  readonly #backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #unsubscribe: () => void;
  #client: ControlClient | undefined;
  #leaf: Leaf | undefined;
  #context: SecureContext | undefined;
  #anchors: SecureContext | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewalAt: Date | undefined;
  #becomeReady: () => void = () => undefined;

  constructor(options: CertifierOptions) {
    this.name = options.name;
    this.#options = options;
    const { privateKey }: { privateKey: KeyObject } = generateKeyPair();
    this.#keyPem = privateKeyPem(privateKey);
    this.#request = createSigningRequest(options.name, privateKey);
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    this.#unsubscribe = options.trust.onChange(() => this.#anchorsChanged());
  }

  /** Asks `client` for the first leaf, and goes on until {@link close}. */
  start(client: ControlClient): void {
    this.#client = client;
    void this.#certify();
  }

  context(): SecureContext | undefined {
    return this.#leaf !== undefined && this.#leaf.certificate.validToDate.getTime() > Date.now()
      ? this.#context
      : undefined;
  }

  /** For the identity service itself: with this proxy's leaf where it has one, else with the anchors alone. */
  bootstrapContext(): SecureContext {
    const own = this.context();
    if (own !== undefined) return own;
    this.#anchors ??= anchorsContext(this.#options.trust.current.pem);
    return this.#anchors;
  }

  get validity(): LocalIdentity["validity"] {
    const certificate = this.#leaf?.certificate;
    return certificate && { notBefore: certificate.validFromDate, notAfter: certificate.validToDate };
  }

  /** When the leaf in use is renewed. */
  get renewalAt(): Date | undefined {
    return this.#renewalAt;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
    this.#unsubscribe();
  }

  async #certify(): Promise<void> {
    const { log, onRefresh } = this.#options;
    try {
      const leaf = await this.#askForLeaf();
      if (this.#abort.signal.aborted) return;
      this.#install(leaf);
      this.#backoff.reset();
      onRefresh?.("ok");
      const until = leaf.certificate.validToDate;
      log.info(`certified as ${this.name} until ${until.toISOString()}`);
      const { minRefreshMs, maxRefreshMs } = this.#options;
      this.#schedule(
        Math.min(Math.max((until.getTime() - Date.now()) * RENEW_AT, minRefreshMs), maxRefreshMs, LONGEST_TIMER_MS),
      );
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      onRefresh?.("error");
      const without = this.context() === undefined;
      const pause = Math.min(this.#backoff.next(), without ? LONGEST_PAUSE_WITHOUT_MS : LONGEST_PAUSE_MS);
      const state = without ? "no valid certificate" : "the former certificate stays";
      log.warn(`certification failed (${state}; next try in ${Math.round(pause)} ms)`, error);
      this.#schedule(pause);
    }
  }

  #schedule(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#renewalAt = new Date(Date.now() + milliseconds);
    this.#timer = setTimeout(() => void this.#certify(), milliseconds);
  }

  async #askForLeaf(): Promise<Leaf> {
    const client = this.#client;
    if (client === undefined) throw new Error("not started");
    // A few hundred bytes in memory. node:fs/promises would bring readline and its history along: 0.2 MiB.
    const token = readFileSync(this.#options.tokenFile);
    if (token.length === 0) throw new Error(`the token file ${this.#options.tokenFile} is empty`);
    const response = await client.unary(
      IdentityService.certify,
      { identity: this.name, token, certificateSigningRequest: this.#request },
      { timeoutMs: CERTIFY_TIMEOUT_MS, signal: this.#abort.signal },
    );
    const leaf = {
      certificate: new X509Certificate(response.leafCertificate),
      intermediates: response.intermediateCertificates.map((der) => new X509Certificate(der)),
    };
    if (dnsNames(leaf.certificate)[0] !== this.name) {
      throw new Error(`the certificate is for "${dnsNames(leaf.certificate)[0] ?? "nobody"}", not for "${this.name}"`);
    }
    verifyChain(leaf.certificate, leaf.intermediates, this.#options.trust.current.certificates);
    return leaf;
  }

  #install(leaf: Leaf): void {
    const chain = [leaf.certificate, ...leaf.intermediates].map((certificate) => certificate.toString()).join("");
    // OpenSSL refuses a leaf of somebody else's key here.
    this.#context = leafContext(this.#keyPem, chain, this.#options.trust.current.pem);
    this.#leaf = leaf;
    this.#becomeReady();
    for (const listener of this.#listeners) listener();
  }

  #anchorsChanged(): void {
    this.#anchors = undefined;
    const leaf = this.#leaf;
    if (leaf === undefined) return;
    this.#install(leaf);
    try {
      verifyChain(leaf.certificate, leaf.intermediates, this.#options.trust.current.certificates);
    } catch (error) {
      this.#options.log.warn(
        "this proxy's certificate does not lead to the new trust anchors; asking for another",
        error,
      );
      this.#schedule(0);
    }
  }
}
