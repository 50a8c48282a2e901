/** Checks of the mesh's certificates: what signs identities, what the webhook and the aggregated APIs show. */
import type { X509Certificate } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import { controlSecret } from "../../model/control-plane-rbac.ts";
import { controlService, issuerIdentity } from "../../model/identity.ts";
import { TRUST_ROOTS } from "../../model/names.ts";
import { certificatesFromPem } from "../../x509/pem.ts";
import { type Check, type CheckCategory, type CheckContext, type Finding, failure, success, warning } from "./check.ts";

const DAY_MS = 86_400_000;
/** As Linkerd's check warns. */
const SOON_DAYS = 60;
const CONTROLLER_MAKES =
  "The controller makes it at its start: see its log, kubectl -n weft logs deploy/weft-controller -c controller";

interface TlsSecret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export const identity: CheckCategory = {
  name: "weft-identity",
  checks: [
    {
      description: "trust anchors are within their validity period",
      async run(context) {
        return validity("a trust anchor", await trustAnchors(context), new Date());
      },
    },
    {
      description: `trust anchors are valid for at least ${SOON_DAYS} days`,
      async run(context) {
        return expiry("a trust anchor", await trustAnchors(context), new Date());
      },
    },
    {
      description: "issuer cert is within its validity period",
      async run(context) {
        return validity("the issuer", (await issuer(context)).slice(0, 1), new Date());
      },
    },
    {
      description: `issuer cert is valid for at least ${SOON_DAYS} days`,
      async run(context) {
        return expiry("the issuer", (await issuer(context)).slice(0, 1), new Date());
      },
    },
    {
      description: "issuer cert is issued by the trust anchor",
      async run(context) {
        const [leaf, ...between] = await issuer(context);
        const anchors = await trustAnchors(context);
        if (leaf === undefined) return failure("the issuer's Secret holds no certificate", CONTROLLER_MAKES);
        const name = issuerIdentity({
          controlPlaneNamespace: context.namespace,
          trustDomain: context.config?.trustDomain ?? "",
        });
        if (!leadsTo(leaf, between, anchors)) {
          return failure(
            `no trust anchor in ConfigMap ${TRUST_ROOTS.configMap} signed the issuer`,
            `Put the anchor that signed it into ${TRUST_ROOTS.configMap}, or an issuer that an anchor signed into ${controlSecret.issuer}.`,
          );
        }
        if (context.config === undefined || leaf.checkHost(name) !== undefined || commonName(leaf) === name)
          return success;
        return warning(`the issuer is named ${commonName(leaf) ?? "nothing"}, not ${name}`);
      },
    },
  ],
};

export const servingCertificates: readonly Check[] = [
  serving("proxy-injector webhook has valid cert", controlSecret.injectorTls, controlService.injector),
  serving("aggregated APIs have valid cert", controlSecret.vizTls, controlService.viz),
];

function serving(description: string, secret: string, service: string): Check {
  return {
    description,
    async run({ client, namespace }) {
      const chain = await tlsCertificates(client, secret, namespace);
      const [leaf] = chain;
      if (leaf === undefined) return failure(`Secret ${secret} is missing or empty`, CONTROLLER_MAKES);
      const host = `${service}.${namespace}.svc`;
      if (leaf.checkHost(host) === undefined) return failure(`the certificate in Secret ${secret} is not for ${host}`);
      const valid = validity(`the certificate in Secret ${secret}`, [leaf], new Date());
      return valid.result === "success" ? expiry(`the certificate in Secret ${secret}`, [leaf], new Date()) : valid;
    },
  };
}

async function trustAnchors({ client, namespace }: CheckContext): Promise<X509Certificate[]> {
  const found = await client.find<KubeObject & { data?: Record<string, string> }>(
    resource.configMaps,
    TRUST_ROOTS.configMap,
    namespace,
  );
  const pem = found?.data?.[TRUST_ROOTS.key];
  return pem === undefined ? [] : certificatesFromPem(pem);
}

async function issuer({ client, namespace }: CheckContext): Promise<X509Certificate[]> {
  return await tlsCertificates(client, controlSecret.issuer, namespace);
}

async function tlsCertificates(client: KubeClient, name: string, namespace: string): Promise<X509Certificate[]> {
  const secret = await client.find<TlsSecret>(resource.secrets, name, namespace);
  const pem = secret?.data?.["tls.crt"] ?? secret?.data?.["crt.pem"];
  return pem === undefined ? [] : certificatesFromPem(Buffer.from(pem, "base64").toString("utf8"));
}

export function validity(what: string, certificates: readonly X509Certificate[], now: Date): Finding {
  if (certificates.length === 0) return failure(`${what} is missing`, CONTROLLER_MAKES);
  for (const certificate of certificates) {
    const { validFromDate, validToDate } = certificate;
    if (now > validToDate) return failure(`${what} expired on ${validToDate.toISOString()}`, CONTROLLER_MAKES);
    if (now < validFromDate) {
      return failure(
        `${what} is valid only from ${validFromDate.toISOString()}`,
        "Compare the clocks of cluster and machine.",
      );
    }
  }
  return success;
}

export function expiry(what: string, certificates: readonly X509Certificate[], now: Date): Finding {
  const ends = certificates.map(({ validToDate }) => validToDate.getTime());
  if (ends.length === 0) return failure(`${what} is missing`, CONTROLLER_MAKES);
  const days = Math.floor((Math.min(...ends) - now.getTime()) / DAY_MS);
  if (days >= SOON_DAYS) return success;
  return warning(
    `${what} expires in ${days} days`,
    "The controller renews what it made itself; replace what was given.",
  );
}

/** Is there a way of signatures from `leaf` over `between` to one of `anchors`? */
function leadsTo(
  leaf: X509Certificate,
  between: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): boolean {
  if (anchors.some((anchor) => leaf.checkIssued(anchor) && leaf.verify(anchor.publicKey))) return true;
  const next = between.find((certificate) => leaf.checkIssued(certificate) && leaf.verify(certificate.publicKey));
  return (
    next !== undefined &&
    leadsTo(
      next,
      between.filter((certificate) => certificate !== next),
      anchors,
    )
  );
}

function commonName(certificate: X509Certificate): string | undefined {
  return /^CN=(.*)$/m.exec(certificate.subject)?.[1];
}
