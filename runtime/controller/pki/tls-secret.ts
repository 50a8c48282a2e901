/** Secrets that hold a certificate and its key: Kubernetes' own form (cert-manager writes it) and Linkerd's. */
import type { KubeObject } from "../../kube/types.ts";
import { annotation, label, WEFT } from "../../model/names.ts";

export interface Secret extends KubeObject {
  type?: string;
  /** base64 */
  data?: Record<string, string>;
}

/** PEM texts. */
export interface TlsMaterial {
  /** The leaf or authority first, intermediates after it. */
  readonly certificate: string;
  readonly privateKey: string;
  /** What the certificate leads to, where the Secret says it. */
  readonly ca?: string;
}

/** Certificates that cannot be used; the message names the Secret or ConfigMap and what is wrong with it. */
export class PkiError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PkiError";
  }
}

/** Every certificate of the control plane that the controller itself made begins so; only those it renews. */
export const CREATED_BY = "weft/controller";

export function isOurs(object: KubeObject): boolean {
  return object.metadata.annotations?.[annotation.createdBy]?.startsWith(CREATED_BY) ?? false;
}

/** Metadata of what the controller makes for the mesh of `controlPlane` (a namespace), anywhere in the cluster. */
export function ownMetadata(
  controlPlane: string,
  version: string,
): { labels: Record<string, string>; annotations: Record<string, string> } {
  return {
    labels: { [label.managedBy]: WEFT, [label.partOf]: WEFT, [label.controlPlaneNamespace]: controlPlane },
    annotations: { [annotation.createdBy]: `${CREATED_BY} ${version}` },
  };
}

/** Made by this control plane, not by hand nor by another one. */
export function belongsTo(object: KubeObject, controlPlane: string): boolean {
  return isOurs(object) && object.metadata.labels?.[label.controlPlaneNamespace] === controlPlane;
}

/**
 * kubernetes.io/tls: `tls.crt`, `tls.key`, `ca.crt`; linkerd.io/tls: `crt.pem`, `key.pem` (reference 5.4).
 * @throws PkiError
 */
export function readTlsSecret(secret: Secret): TlsMaterial {
  const text = (key: string): string | undefined => {
    const value = secret.data?.[key];
    return value === undefined || value === "" ? undefined : Buffer.from(value, "base64").toString("utf8");
  };
  const certificate = text("tls.crt") ?? text("crt.pem");
  const privateKey = text("tls.key") ?? text("key.pem");
  if (certificate === undefined || privateKey === undefined) {
    throw new PkiError(
      `Secret ${secret.metadata.namespace}/${secret.metadata.name} needs tls.crt and tls.key (or crt.pem and key.pem)`,
    );
  }
  const ca = text("ca.crt");
  return { certificate, privateKey, ...(ca === undefined ? {} : { ca }) };
}

/** A kubernetes.io/tls Secret marked as the controller's own. */
export function tlsSecret(namespace: string, name: string, version: string, material: TlsMaterial): Secret {
  const encode = (pem: string): string => Buffer.from(pem).toString("base64");
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, ...ownMetadata(namespace, version) },
    type: "kubernetes.io/tls",
    data: {
      "tls.crt": encode(material.certificate),
      "tls.key": encode(material.privateKey),
      ...(material.ca === undefined ? {} : { "ca.crt": encode(material.ca) }),
    },
  };
}
