/** The sandbox's certificates and keys. Made anew at each start; they live in memory and, as far as clients need them, in the kubeconfig. */
import type { KeyObject } from "node:crypto";
import {
  type CertificateAuthority,
  certificatePem,
  createCertificateAuthority,
  issueLeaf,
} from "../../x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../x509/keys.ts";
import { ADMIN_GROUP } from "./access.ts";

export interface TlsPair {
  /** PEM */
  readonly certificate: string;
  readonly key: string;
}

export interface Pki {
  /** PEM; signs the server's certificate and those of clients. */
  readonly ca: string;
  readonly server: TlsPair;
  readonly admin: TlsPair;
  /** PEM; signs what the aggregation proxy shows to aggregated API servers. */
  readonly frontProxyCa: string;
  readonly frontProxy: TlsPair;
  /** Signs service accounts' tokens. */
  readonly tokenKeys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
}

export const ADMIN_USER = "kubernetes-admin";
export const FRONT_PROXY_NAME = "front-proxy-client";

const YEAR_MS = 365 * 24 * 3600 * 1000;
/** Clocks of clients may be slow. */
const LEEWAY_MS = 5 * 60_000;

/** @param names under which clients reach the server, besides `kubernetes.default.svc` and its kin */
export function createPki(addresses: readonly string[]): Pki {
  const now = Date.now();
  const validity = { notBefore: new Date(now - LEEWAY_MS), notAfter: new Date(now + YEAR_MS) };
  const authority = createCertificateAuthority({ commonName: "weft-sandbox", ...validity });
  const front = createCertificateAuthority({ commonName: "front-proxy", ...validity });
  const leaf = (
    from: CertificateAuthority,
    options: Omit<Parameters<typeof issueLeaf>[1], "publicKey" | "notBefore" | "notAfter">,
  ): TlsPair => {
    const keys = generateKeyPair();
    const certificate = issueLeaf(from, { ...options, ...validity, publicKey: keys.publicKey });
    return { certificate: certificatePem(certificate), key: privateKeyPem(keys.privateKey) };
  };
  const service = "kubernetes.default.svc";
  return {
    ca: certificatePem(authority.certificate),
    server: leaf(authority, {
      commonName: "kube-apiserver",
      usages: ["serverAuth"],
      dnsNames: ["localhost", "kubernetes", "kubernetes.default", service, `${service}.cluster.local`],
      ipAddresses: [...new Set(["127.0.0.1", ...addresses])],
    }),
    admin: leaf(authority, { commonName: ADMIN_USER, organizations: [ADMIN_GROUP], usages: ["clientAuth"] }),
    frontProxyCa: certificatePem(front.certificate),
    frontProxy: leaf(front, { commonName: FRONT_PROXY_NAME, usages: ["clientAuth"] }),
    tokenKeys: generateKeyPair(),
  };
}
