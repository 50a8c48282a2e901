/** Names of Services as proxies ask for them: `web.shop.svc.cluster.local:8080` (reference 5.2). */
import { isIP } from "node:net";

export type Authority =
  | { readonly kind: "ip"; readonly ip: string; readonly port: number }
  | {
      readonly kind: "service";
      /** `<namespace>/<name>` */
      readonly key: string;
      /** One pod of a headless Service. */
      readonly hostname?: string;
      readonly port: number;
    }
  /** No name in the cluster. */
  | { readonly kind: "foreign" };

const DEFAULT_PORT = 80;
const HOST_LABEL = /^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

/** @returns undefined for something that is no `host[:port]` */
export function parseAuthority(text: string, clusterDomain: string): Authority | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, "");
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65535) return undefined;
  if (isIP(host) !== 0) return { kind: "ip", ip: host, port };
  const suffix = `.svc.${clusterDomain}`;
  if (!host.split(".").every((label) => HOST_LABEL.test(label))) return undefined;
  if (!host.endsWith(suffix)) return { kind: "foreign" };
  const labels = host.slice(0, -suffix.length).split(".");
  if (!labels.every((label) => DNS_LABEL.test(label))) return undefined;
  const [first = "", second = "", third] = labels;
  if (labels.length === 2) return { kind: "service", key: `${second}/${first}`, port };
  if (labels.length === 3) return { kind: "service", key: `${third}/${second}`, hostname: first, port };
  return undefined;
}

export function serviceFqdn(key: string, clusterDomain: string): string {
  const [namespace = "", name = ""] = key.split("/");
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/** Who asks (GetDestination.context_token): JSON, or `ns:<namespace>` of old proxies. Empty where it does not parse. */
export interface ClientContext {
  readonly namespace: string;
  readonly nodeName: string;
  readonly pod: string;
}

export function parseContextToken(token: string): ClientContext {
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  if (token.startsWith("ns:")) return { namespace: token.slice(3), nodeName: "", pod: "" };
  try {
    const value = JSON.parse(token) as Record<string, unknown>;
    return { namespace: text(value["ns"]), nodeName: text(value["nodeName"]), pod: text(value["pod"]) };
  } catch {
    return { namespace: "", nodeName: "", pod: "" };
  }
}
