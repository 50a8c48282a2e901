/** The controller's own certificate on its gRPC ports: issued by itself to itself, in memory only (DESIGN decision 4). */
import { createSecureContext, type SecureContext } from "node:tls";
import { CONTROLLER_SERVICE_ACCOUNT, workloadIdentity } from "../../model/identity.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { certificatePem } from "../../x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../x509/keys.ts";
import type { Log } from "../config/log.ts";
import type { LivePki } from "../pki/live-pki.ts";
import { issue, LEAF_LIFE_MS } from "./leaf.ts";

/** Part of a leaf's life after which it is replaced (reference 5.4). */
const REFRESH_AT = 0.7;
const MIN_REFRESH_MS = 10_000;

/** Renewed when due, and at once when issuer or trust anchors change. */
export class OwnLeaf {
  readonly #pki: LivePki;
  readonly #identity: string;
  readonly #log: Log;
  readonly #listeners = new Set<(context: SecureContext) => void>();
  readonly #stopFollowing: () => void;
  #timer: NodeJS.Timeout | undefined;
  #context: SecureContext | undefined;

  constructor(pki: LivePki, mesh: MeshConfig, log: Log) {
    this.#pki = pki;
    this.#log = log;
    this.#identity = workloadIdentity(mesh, mesh.controlPlaneNamespace, CONTROLLER_SERVICE_ACCOUNT);
    this.#stopFollowing = pki.onChange((part) => {
      if (part !== "injectorTls") this.#renew();
    });
    this.#renew();
  }

  /** TLS 1.3, own leaf and chain, trust anchors for checking clients; undefined until there is an issuer. */
  get context(): SecureContext | undefined {
    return this.#context;
  }

  onChange(listener: (context: SecureContext) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopFollowing();
    this.#listeners.clear();
  }

  #renew(): void {
    const { issuer, trustBundle } = this.#pki;
    if (issuer === undefined || trustBundle === undefined) return;
    clearTimeout(this.#timer);
    const keys = generateKeyPair();
    const leaf = issue(issuer, this.#identity, keys.publicKey, new Date());
    const context = createSecureContext({
      cert: [leaf, ...issuer.intermediates].map(certificatePem).join(""),
      key: privateKeyPem(keys.privateKey),
      ca: trustBundle.certificates.map(certificatePem),
      // An anchor need not be self-signed.
      allowPartialTrustChain: true,
      minVersion: "TLSv1.3",
    });
    this.#context = context;
    this.#log.debug("own certificate renewed", { notAfter: leaf.validToDate.toISOString() });
    for (const listener of this.#listeners) listener(context);
    const left = leaf.validToDate.getTime() - Date.now();
    const delay = Math.min(Math.max(left * REFRESH_AT, MIN_REFRESH_MS), LEAF_LIFE_MS);
    this.#timer = setTimeout(() => this.#renew(), delay);
  }
}
