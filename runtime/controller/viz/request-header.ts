/**
 * Who is asking, as the API server tells it: it verifies itself by a client certificate of the requestheader CA and names
 * the user in headers. Both are described in ConfigMap kube-system/extension-apiserver-authentication (Kubernetes,
 * "Configure the Aggregation Layer"). Headers of anybody else are not read.
 */
import type { X509Certificate } from "node:crypto";
import { verifyChain } from "../../x509/chain.ts";
import { certificatesFromPem } from "../../x509/pem.ts";

export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface RequestHeaderConfig {
  readonly caPem: string;
  readonly authorities: readonly X509Certificate[];
  /** Common names of which a front proxy must have one; empty: any. */
  readonly allowedNames: readonly string[];
  /** Lower case. */
  readonly usernameHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraPrefixes: readonly string[];
}

/** @throws Error naming the key that is missing or malformed */
export function parseRequestHeaderConfig(data: Readonly<Record<string, string>>): RequestHeaderConfig {
  const caPem = data["requestheader-client-ca-file"];
  if (caPem === undefined || caPem === "") {
    throw new Error("requestheader-client-ca-file is missing: the cluster's aggregation layer is not configured");
  }
  const headers = (key: string): string[] => names(data, key).map((name) => name.toLowerCase());
  return {
    caPem,
    authorities: certificatesFromPem(caPem),
    allowedNames: names(data, "requestheader-allowed-names"),
    usernameHeaders: headers("requestheader-username-headers"),
    uidHeaders: headers("requestheader-uid-headers"),
    groupHeaders: headers("requestheader-group-headers"),
    extraPrefixes: headers("requestheader-extra-headers-prefix"),
  };
}

function names(data: Readonly<Record<string, string>>, key: string): string[] {
  const text = data[key];
  if (text === undefined || text === "") return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${key} is no JSON list`, { cause });
  }
  if (!Array.isArray(list) || !list.every((item) => typeof item === "string")) {
    throw new Error(`${key} is no JSON list of names`);
  }
  return list;
}

/**
 * Is this a front proxy's certificate? It must be signed by one of the authorities itself: node:tls shows a server only
 * the client's leaf. Never throws.
 */
export function isFrontProxy(leaf: X509Certificate, config: RequestHeaderConfig, now?: Date): boolean {
  if (!mayBeClient(leaf)) return false;
  try {
    verifyChain(leaf, [], config.authorities, now);
  } catch {
    return false;
  }
  return config.allowedNames.length === 0 || config.allowedNames.includes(commonName(leaf) ?? "");
}

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const ANY_EXTENDED_USAGE = "2.5.29.37.0";

/** Extended key usage, where the certificate restricts it. */
export function mayBeClient(certificate: X509Certificate): boolean {
  const usages = certificate.keyUsage as readonly string[] | undefined;
  return usages === undefined || usages.includes(CLIENT_AUTH) || usages.includes(ANY_EXTENDED_USAGE);
}

function commonName(certificate: X509Certificate): string | undefined {
  return /^CN=(.*)$/m.exec(certificate.subject ?? "")?.[1];
}

/**
 * @param rawHeaders names and values in turn, as node:http gives them: groups are not joined there
 * @returns undefined where no user is named (the API server's own look at discovery)
 */
export function readUser(rawHeaders: readonly string[], config: RequestHeaderConfig): User | undefined {
  let name: string | undefined;
  let uid: string | undefined;
  const groups: string[] = [];
  const extra: Record<string, string[]> = {};
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const header = rawHeaders[index]?.toLowerCase() ?? "";
    const value = rawHeaders[index + 1] ?? "";
    if (config.usernameHeaders.includes(header)) name ??= value === "" ? undefined : value;
    else if (config.uidHeaders.includes(header)) uid ??= value;
    else if (config.groupHeaders.includes(header)) groups.push(value);
    else {
      const prefix = config.extraPrefixes.find((candidate) => header.startsWith(candidate));
      if (prefix === undefined) continue;
      const key = decodeKey(header.slice(prefix.length));
      extra[key] = [...(extra[key] ?? []), value];
    }
  }
  if (name === undefined) return undefined;
  return { name, ...(uid === undefined || uid === "" ? {} : { uid }), groups, extra };
}

/** Keys of extra fields are percent-encoded, so that any of them fits a header's name. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
