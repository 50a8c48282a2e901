/** The trust anchors: given inline, or a file that is read again when it changes (a ConfigMap's mount is swapped by symlink). */
import type { X509Certificate } from "node:crypto";
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { certificatesFromPem } from "../../x509/pem.ts";
import type { Logger } from "../log.ts";

export interface TrustBundle {
  readonly pem: string;
  readonly certificates: readonly X509Certificate[];
}

/** How often the file is looked at. The kubelet itself takes up to a minute to bring a change. */
const LOOK_EVERY_MS = 5_000;

export class TrustBundleSource {
  readonly #file: string | undefined;
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();
  readonly #look = (): void => this.#reload();
  #bundle: TrustBundle;

  /** @throws Error where there is no certificate to be read: without anchors nobody can be trusted */
  constructor(source: { readonly pem: string } | { readonly file: string }, log: Logger, lookEveryMs = LOOK_EVERY_MS) {
    this.#log = log;
    this.#file = "file" in source ? source.file : undefined;
    this.#bundle = parse("file" in source ? readFileSync(source.file, "utf8") : source.pem);
    if (this.#file !== undefined) watchFile(this.#file, { interval: lookEveryMs, persistent: false }, this.#look);
  }

  get current(): TrustBundle {
    return this.#bundle;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    if (this.#file !== undefined) unwatchFile(this.#file, this.#look);
  }

  #reload(): void {
    if (this.#file === undefined) return;
    let bundle: TrustBundle;
    try {
      bundle = parse(readFileSync(this.#file, "utf8"));
    } catch (error) {
      this.#log.error(`the trust bundle ${this.#file} cannot be read; the former one stays`, error);
      return;
    }
    if (bundle.pem === this.#bundle.pem) return;
    this.#bundle = bundle;
    this.#log.info(`trust bundle changed: ${bundle.certificates.length} anchor(s)`);
    for (const listener of this.#listeners) listener();
  }
}

function parse(text: string): TrustBundle {
  const certificates = certificatesFromPem(text);
  return { certificates, pem: certificates.map((certificate) => certificate.toString()).join("") };
}
