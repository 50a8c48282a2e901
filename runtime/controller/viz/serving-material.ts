/** What the aggregated API is served with: its certificate, and the authorities of those who may ask. Live. */
import type { X509Certificate } from "node:crypto";
import { startInformer } from "../../kube/informer.ts";
import { resource } from "../../kube/resources.ts";
import type { Informer, KubeClient, KubeObject } from "../../kube/types.ts";
import { controlSecret } from "../../model/control-plane-rbac.ts";
import { TRUST_ROOTS } from "../../model/names.ts";
import { certificatesFromPem } from "../../x509/pem.ts";
import { type Log, messageOf } from "../config/log.ts";
import { parseRequestHeaderConfig, type RequestHeaderConfig } from "./request-header.ts";

interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}
interface Secret extends KubeObject {
  /** Values in base64. */
  data?: Record<string, string>;
}

export interface ServingCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** PEM of the authority that signed it: what clients of weft-viz trust. */
  readonly ca: string;
}

const AUTHENTICATION = { namespace: "kube-system", name: "extension-apiserver-authentication" } as const;

export class ServingMaterial {
  /** Absent until the controller has made it. */
  certificate: ServingCertificate | undefined;
  requestHeader: RequestHeaderConfig | undefined;
  /** Trust anchors of the mesh; empty until the controller has written them. */
  anchors: readonly X509Certificate[] = [];
  anchorsPem = "";

  readonly #informers: Informer<KubeObject>[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #log: Log;

  constructor(client: KubeClient, namespace: string, log: Log) {
    this.#log = log;
    const watch = <T extends KubeObject>(
      kind: typeof resource.secrets | typeof resource.configMaps,
      where: { readonly namespace: string; readonly name: string },
      take: (object: T | undefined) => void,
    ): void => {
      const what = `${kind.kind} ${where.namespace}/${where.name}`;
      const informer = startInformer<T>(client, kind, {
        namespace: where.namespace,
        fieldSelector: `metadata.name=${where.name}`,
        onError: (error) => log.warn(`${what} cannot be watched`, { reason: error.message }),
      });
      informer.subscribe(({ type, object }) => {
        try {
          take(type === "deleted" ? undefined : object);
        } catch (error) {
          // What was there before stays in use.
          log.error(`${what} is not usable`, { reason: messageOf(error) });
        }
        for (const listener of this.#listeners) listener();
      });
      this.#informers.push(informer as unknown as Informer<KubeObject>);
    };
    watch<Secret>(resource.secrets, { namespace, name: controlSecret.vizTls }, (secret) => this.#takeSecret(secret));
    watch<ConfigMap>(resource.configMaps, AUTHENTICATION, (configMap) => {
      if (configMap !== undefined) this.requestHeader = parseRequestHeaderConfig(configMap.data ?? {});
    });
    watch<ConfigMap>(resource.configMaps, { namespace, name: TRUST_ROOTS.configMap }, (configMap) => {
      const pem = configMap?.data?.[TRUST_ROOTS.key];
      if (pem === undefined) return;
      this.anchors = certificatesFromPem(pem);
      this.anchorsPem = pem;
    });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    for (const informer of this.#informers) informer.stop();
    this.#listeners.clear();
  }

  #takeSecret(secret: Secret | undefined): void {
    // Deleted: the controller makes it anew; the old one serves until then.
    if (secret === undefined) return;
    const text = (key: string): string => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
    const made = { certificate: text("tls.crt"), key: text("tls.key"), ca: text("ca.crt") };
    for (const [field, value] of Object.entries(made)) {
      if (value === "") throw new Error(`its field for the ${field} is empty`);
    }
    const [leaf] = certificatesFromPem(made.certificate);
    this.certificate = made;
    this.#log.info("serving certificate read", { until: leaf?.validToDate.toISOString() });
  }
}
