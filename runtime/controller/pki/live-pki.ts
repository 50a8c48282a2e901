/** The mesh's certificates as they are now in the cluster: read by every replica, followed without a restart. */
import type { X509Certificate } from "node:crypto";
import { startInformer } from "../../kube/informer.ts";
import { resource } from "../../kube/resources.ts";
import type { Informer, KubeClient, KubeObject, Resource } from "../../kube/types.ts";
import { controlSecret } from "../../model/control-plane-rbac.ts";
import { TRUST_ROOTS } from "../../model/names.ts";
import { certificatesFromPem } from "../../x509/pem.ts";
import { type Log, messageOf } from "../config/log.ts";
import { type Issuer, readIssuer } from "./authorities.ts";
import { PkiError, readTlsSecret, type Secret, type TlsMaterial } from "./tls-secret.ts";

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
  immutable?: boolean;
}

/** Trust anchors. */
export interface TrustBundle {
  /** As the ConfigMap has it: what is copied into meshed namespaces. */
  readonly pem: string;
  readonly certificates: readonly X509Certificate[];
}

export type PkiPart = "trustBundle" | "issuer" | "injectorTls";

/** The kubelet needs up to a minute and a half to show a changed ConfigMap to a proxy, and the proxy a moment to read it. */
const TRUST_SPREAD_MS = 180_000;

/**
 * An issuer under an anchor that is new to the bundle is used only after every proxy has had the time to learn of the
 * anchor: leaves that half of the mesh refuses would be worse than the old issuer's.
 *
 * A part that turns bad keeps its last good value: proxies must not lose their issuer over a mistyped Secret.
 * The fault is logged once a change.
 */
export class LivePki {
  readonly #namespace: string;
  readonly #log: Log;
  readonly #informers: Informer<KubeObject>[];
  readonly #secrets = new Map<string, Informer<Secret>>();
  readonly #trustRoots: Informer<ConfigMap>;
  readonly #listeners = new Set<(part: PkiPart) => void>();
  readonly #faultListeners = new Set<(part: PkiPart, message: string) => void>();
  readonly #trustSpreadMs: number;
  /** Fingerprint of an anchor → since when the bundle has it, by this process' clock. */
  #anchorsSince: ReadonlyMap<string, number> = new Map();
  #issuerTimer: NodeJS.Timeout | undefined;
  #trustBundle: TrustBundle | undefined;
  #issuer: Issuer | undefined;
  #issuerSource = "";
  #injectorTls: TlsMaterial | undefined;
  #fault = new Map<PkiPart, string>();

  constructor(client: KubeClient, namespace: string, log: Log, trustSpreadMs: number = TRUST_SPREAD_MS) {
    this.#trustSpreadMs = trustSpreadMs;
    this.#namespace = namespace;
    this.#log = log;
    const watch = <T extends KubeObject>(kind: Resource, name: string): Informer<T> => {
      const informer = startInformer<T>(client, kind, {
        namespace,
        fieldSelector: `metadata.name=${name}`,
        onError: (error) => log.warn(`cannot watch ${kind.kind} ${namespace}/${name}`, { reason: messageOf(error) }),
      });
      informer.subscribe(() => this.#refresh());
      return informer;
    };
    for (const name of [controlSecret.issuer, controlSecret.injectorTls]) {
      this.#secrets.set(name, watch<Secret>(resource.secrets, name));
    }
    this.#trustRoots = watch<ConfigMap>(resource.configMaps, TRUST_ROOTS.configMap);
    this.#informers = [...this.#secrets.values(), this.#trustRoots] as unknown as Informer<KubeObject>[];
  }

  get trustBundle(): TrustBundle | undefined {
    return this.#trustBundle;
  }

  get issuer(): Issuer | undefined {
    return this.#issuer;
  }

  /** The webhook's serving certificate. */
  get injectorTls(): TlsMaterial | undefined {
    return this.#injectorTls;
  }

  /** Called after each change of a part's value. */
  onChange(listener: (part: PkiPart) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when a part cannot be used as it is in the cluster now, once for each fault. */
  onFault(listener: (part: PkiPart, message: string) => void): () => void {
    this.#faultListeners.add(listener);
    return () => this.#faultListeners.delete(listener);
  }

  /** Resolves when every part is there. Rejects with the signal's reason. */
  complete(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (this.#trustBundle === undefined || this.#issuer === undefined || this.#injectorTls === undefined) return;
        stop();
        signal.removeEventListener("abort", abort);
        resolve();
      };
      const abort = (): void => {
        stop();
        reject(signal.reason as Error);
      };
      const stop = this.onChange(check);
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) abort();
      else check();
    });
  }

  /** What is missing, for people who wait. */
  missing(): string[] {
    const parts: readonly [PkiPart, unknown, string][] = [
      ["trustBundle", this.#trustBundle, `ConfigMap ${TRUST_ROOTS.configMap}`],
      ["issuer", this.#issuer, `Secret ${controlSecret.issuer}`],
      ["injectorTls", this.#injectorTls, `Secret ${controlSecret.injectorTls}`],
    ];
    return parts
      .filter(([, value]) => value === undefined)
      .map(([part, , name]) => `${name}${this.#fault.has(part) ? ` (${this.#fault.get(part)})` : ""}`);
  }

  stop(): void {
    clearTimeout(this.#issuerTimer);
    for (const informer of this.#informers) informer.stop();
    this.#listeners.clear();
    this.#faultListeners.clear();
  }

  #refresh(): void {
    this.#attempt("trustBundle", () => this.#refreshTrustBundle());
    this.#attempt("issuer", () => this.#refreshIssuer());
    this.#attempt("injectorTls", () => this.#refreshInjectorTls());
  }

  /** `refresh` tells whether the value changed. */
  #attempt(part: PkiPart, refresh: () => boolean): void {
    try {
      const changed = refresh();
      this.#fault.delete(part);
      if (!changed) return;
    } catch (error) {
      const fault = messageOf(error);
      if (this.#fault.get(part) === fault) return;
      this.#fault.set(part, fault);
      this.#log.error(fault, { part });
      for (const listener of this.#faultListeners) listener(part, fault);
      return;
    }
    for (const listener of this.#listeners) listener(part);
  }

  #refreshTrustBundle(): boolean {
    const object = this.#trustRoots.store.get(`${this.#namespace}/${TRUST_ROOTS.configMap}`);
    if (object === undefined) return false;
    const pem = object.data?.[TRUST_ROOTS.key] ?? "";
    if (pem === this.#trustBundle?.pem) return false;
    try {
      const certificates = certificatesFromPem(pem);
      // What the first bundle holds has been there for who knows how long.
      const since = this.#trustBundle === undefined ? Number.NEGATIVE_INFINITY : performance.now();
      this.#anchorsSince = new Map(
        certificates.map(({ fingerprint256 }) => [fingerprint256, this.#anchorsSince.get(fingerprint256) ?? since]),
      );
      this.#trustBundle = { pem, certificates };
    } catch (cause) {
      throw new PkiError(`ConfigMap ${this.#namespace}/${TRUST_ROOTS.configMap}, key ${TRUST_ROOTS.key}`, { cause });
    }
    return true;
  }

  #refreshIssuer(): boolean {
    const secret = this.#secrets.get(controlSecret.issuer)?.store.get(`${this.#namespace}/${controlSecret.issuer}`);
    const anchors = this.#trustBundle;
    if (secret === undefined || anchors === undefined) return false;
    const source = `${secret.metadata.uid} ${secret.metadata.resourceVersion} ${anchors.pem}`;
    if (source === this.#issuerSource) return false;
    const where = `Secret ${this.#namespace}/${controlSecret.issuer}`;
    const issuer = readIssuer(where, readTlsSecret(secret), anchors.certificates, new Date());
    if (this.#mustWaitFor(issuer)) return false;
    this.#issuerSource = source;
    const same = issuer.authority.certificate.fingerprint256 === this.#issuer?.authority.certificate.fingerprint256;
    this.#issuer = issuer;
    if (!same) {
      this.#log.info("issuer in use", {
        subject: issuer.authority.certificate.subject.replaceAll("\n", ", "),
        notAfter: issuer.notAfter.toISOString(),
      });
    }
    return true;
  }

  /** True while the issuer in use is still good and the next one's anchor is too new; comes back when it is not. */
  #mustWaitFor(next: Issuer): boolean {
    const current = this.#issuer;
    const age = performance.now() - (this.#anchorsSince.get(next.anchor.fingerprint256) ?? Number.NEGATIVE_INFINITY);
    const left = this.#trustSpreadMs - age;
    if (left <= 0 || current === undefined || current.notAfter.getTime() < Date.now() + left) return false;
    this.#log.info("a new issuer is used once proxies know its anchor", { inSeconds: Math.ceil(left / 1000) });
    clearTimeout(this.#issuerTimer);
    this.#issuerTimer = setTimeout(() => this.#refresh(), left);
    return true;
  }

  #refreshInjectorTls(): boolean {
    const { injectorTls } = controlSecret;
    const secret = this.#secrets.get(injectorTls)?.store.get(`${this.#namespace}/${injectorTls}`);
    if (secret === undefined) return false;
    const material = readTlsSecret(secret);
    const { certificate, privateKey } = this.#injectorTls ?? {};
    if (material.certificate === certificate && material.privateKey === privateKey) return false;
    certificatesFromPem(material.certificate);
    this.#injectorTls = material;
    return true;
  }
}
