/** Makes what is missing of the mesh's certificates and renews what the controller made: only the Lease's holder runs it. */
import { X509Certificate } from "node:crypto";
import { hasStatus } from "../../kube/errors.ts";
import { resource } from "../../kube/resources.ts";
import type { KubeClient } from "../../kube/types.ts";
import { controlSecret } from "../../model/control-plane-rbac.ts";
import { controlService, type IdentityScope } from "../../model/identity.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { CONTROLLER_FIELD_MANAGER, TRUST_ROOTS } from "../../model/names.ts";
import { certificatePem } from "../../x509/certificate.ts";
import { certificatesFromPem } from "../../x509/pem.ts";
import type { Log } from "../config/log.ts";
import {
  createIssuer,
  createServingCertificate,
  createTrustAnchor,
  isDue,
  readIssuer,
  stillValid,
} from "./authorities.ts";
import { type CaBundleTarget, publishCaBundle } from "./ca-bundle.ts";
import type { ConfigMap } from "./live-pki.ts";
import {
  isOurs,
  ownMetadata,
  PkiError,
  readTlsSecret,
  type Secret,
  type TlsMaterial,
  tlsSecret,
} from "./tls-secret.ts";

export class PkiKeeper {
  readonly #client: KubeClient;
  readonly #mesh: MeshConfig;
  readonly #scope: IdentityScope;
  readonly #log: Log;

  constructor(client: KubeClient, mesh: MeshConfig, log: Log) {
    this.#client = client;
    this.#mesh = mesh;
    this.#scope = { controlPlaneNamespace: mesh.controlPlaneNamespace, trustDomain: mesh.trustDomain };
    this.#log = log;
  }

  /**
   * One walk over everything; what is as it should be costs a GET. Given material (a Secret or ConfigMap that the
   * controller did not make) is never written.
   * @throws PkiError, KubeError, KubeConnectionError
   */
  async reconcile(now: Date = new Date()): Promise<void> {
    const issuer = await this.#issuer(now);
    await this.#trustRoots(issuer, now);
    await this.#serving(controlSecret.injectorTls, controlService.injector, ["webhook"], now);
    await this.#serving(controlSecret.vizTls, controlService.viz, ["tapApi", "statsApi"], now);
  }

  async #issuer(now: Date): Promise<TlsMaterial> {
    const found = await this.#secret(controlSecret.issuer);
    if (found !== undefined && !isOurs(found)) return readTlsSecret(found);
    const anchorSecret = await this.#secret(controlSecret.trustAnchor);
    if (found !== undefined) {
      const material = readTlsSecret(found);
      // Without the anchor's key there is nothing to renew with.
      if (anchorSecret === undefined) return material;
      const anchor = readTlsSecret(anchorSecret);
      const reason = whyRenew(material, anchor, now);
      if (reason === undefined) return material;
      const next = createIssuer(this.#scope, anchor, now);
      // What it leads to is made known before anything is signed with it.
      await this.#trustRoots(next, now);
      await this.#replace(found, next);
      this.#log.info("issuer renewed", { reason });
      return next;
    }
    const anchor = anchorSecret === undefined ? await this.#newAnchor(now) : readTlsSecret(anchorSecret);
    const material = createIssuer(this.#scope, anchor, now);
    await this.#create(controlSecret.issuer, material);
    return material;
  }

  async #newAnchor(now: Date): Promise<TlsMaterial> {
    const roots = await this.#client.find<ConfigMap>(resource.configMaps, TRUST_ROOTS.configMap, this.#namespace);
    if (roots !== undefined && !isOurs(roots)) {
      throw new PkiError(
        `ConfigMap ${this.#namespace}/${TRUST_ROOTS.configMap} gives trust anchors, but there is no Secret ${controlSecret.issuer}: create it with an issuer that these anchors signed`,
      );
    }
    const anchor = createTrustAnchor(this.#scope, now);
    await this.#create(controlSecret.trustAnchor, anchor);
    return anchor;
  }

  /** The bundle only grows, and loses what has expired: a proxy that still shows an old chain stays trusted. */
  async #trustRoots(issuer: TlsMaterial, now: Date): Promise<void> {
    const found = await this.#client.find<ConfigMap>(resource.configMaps, TRUST_ROOTS.configMap, this.#namespace);
    if (found !== undefined && !isOurs(found)) return;
    const known = found?.data?.[TRUST_ROOTS.key];
    const certificates = new Map<string, X509Certificate>();
    for (const pem of [known, issuer.ca]) {
      if (pem === undefined) continue;
      for (const certificate of stillValid(certificatesFromPem(pem), now)) {
        certificates.set(certificate.fingerprint256, certificate);
      }
    }
    if (certificates.size === 0) {
      throw new PkiError(
        `Secret ${this.#namespace}/${controlSecret.issuer} names no trust anchor (ca.crt): add it, or create ConfigMap ${TRUST_ROOTS.configMap} with key ${TRUST_ROOTS.key}`,
      );
    }
    const pem = [...certificates.values()].map(certificatePem).join("");
    if (pem === known) return;
    await this.#client.apply<ConfigMap>(resource.configMaps, trustRootsConfigMap(this.#namespace, this.#mesh, pem), {
      fieldManager: CONTROLLER_FIELD_MANAGER,
      force: true,
    });
    this.#log.info("trust bundle written", { anchors: certificates.size });
  }

  async #serving(secretName: string, service: string, targets: readonly CaBundleTarget[], now: Date): Promise<void> {
    const found = await this.#secret(secretName);
    let material: TlsMaterial;
    if (found === undefined) {
      material = createServingCertificate(this.#serviceNames(service), now);
      await this.#create(secretName, material);
    } else {
      material = readTlsSecret(found);
      if (isOurs(found) && isDue(new X509Certificate(material.certificate), now)) {
        material = createServingCertificate(this.#serviceNames(service), now, material.ca);
        // Callers learn to trust the new certificate before anyone shows it.
        await this.#publish(targets, material);
        await this.#replace(found, material);
        this.#log.info("serving certificate renewed", { secret: secretName });
        return;
      }
    }
    await this.#publish(targets, material);
  }

  async #publish(targets: readonly CaBundleTarget[], material: TlsMaterial): Promise<void> {
    // A given certificate without ca.crt is taken for self-signed.
    const ca = material.ca ?? material.certificate;
    for (const target of targets) {
      if (await publishCaBundle(this.#client, this.#namespace, target, ca)) this.#log.info("caBundle set", { target });
    }
  }

  #serviceNames(service: string): string[] {
    const name = `${service}.${this.#namespace}.svc`;
    return [name, `${name}.${this.#mesh.clusterDomain}`];
  }

  get #namespace(): string {
    return this.#mesh.controlPlaneNamespace;
  }

  async #secret(name: string): Promise<Secret | undefined> {
    return await this.#client.find<Secret>(resource.secrets, name, this.#namespace);
  }

  async #create(name: string, material: TlsMaterial): Promise<void> {
    const secret = tlsSecret(this.#namespace, name, this.#mesh.version, material);
    try {
      await this.#client.create<Secret>(resource.secrets, secret, { fieldManager: CONTROLLER_FIELD_MANAGER });
      this.#log.info("Secret created", { secret: name });
    } catch (error) {
      // Somebody gave one meanwhile: theirs counts. The next walk reads it.
      if (!hasStatus(error, 409)) throw error;
      throw new PkiError(`Secret ${this.#namespace}/${name} appeared meanwhile`, { cause: error });
    }
  }

  async #replace(found: Secret, material: TlsMaterial): Promise<void> {
    const { data } = tlsSecret(this.#namespace, found.metadata.name, this.#mesh.version, material);
    await this.#client.replace<Secret>(resource.secrets, { ...found, data: { ...data } });
  }
}

/** The copy of the trust bundle for one namespace. */
export function trustRootsConfigMap(namespace: string, mesh: MeshConfig, pem: string): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: TRUST_ROOTS.configMap,
      namespace,
      ...ownMetadata(mesh.controlPlaneNamespace, mesh.version),
    },
    data: { [TRUST_ROOTS.key]: pem },
  };
}

/** Why an issuer of the controller's own is due; undefined: it is not. */
function whyRenew(material: TlsMaterial, anchor: TlsMaterial, now: Date): string | undefined {
  try {
    const anchors = certificatesFromPem(anchor.certificate);
    const { authority } = readIssuer("the issuer", material, anchors, now);
    return isDue(authority.certificate, now) ? "a third of its life is left" : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
