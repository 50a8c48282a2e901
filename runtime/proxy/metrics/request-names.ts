/**
 * Names that requests are for, as labels have them where *_METRICS_HOSTNAME_LABELS or *_METRICS_AUTHORITY_LABELS ask for it. Clients choose
 * them, and so how many series there are.
 */
import { isIP } from "node:net";
import type { RequestHead } from "../http/request-head.ts";

const NAME = /^(?=.{1,253}$)[\w-]{1,63}(?:\.[\w-]{1,63})*$/;
const DEFAULT_PORT = "80";

/** The label `hostname`. @returns empty for addresses, and for what is no name */
export function hostnameOf({ authority }: RequestHead): string {
  return nameOf(hostOf(authority));
}

/**
 * The label `authority`: what the client's proxy found the name to be (`l5d-dst-canonical`), or what the request says; without the
 * default port. @returns undefined for addresses, and for what is no name
 */
export function authorityOf(request: RequestHead): string | undefined {
  for (const text of [request.header("l5d-dst-canonical"), request.authority]) {
    const name = nameOf(hostOf(text ?? ""));
    if (name === "") continue;
    const port = /:(\d{1,5})$/.exec(text ?? "")?.[1] ?? DEFAULT_PORT;
    return port === DEFAULT_PORT ? name : `${name}:${port}`;
  }
  return undefined;
}

function hostOf(authority: string): string {
  return authority.slice(authority.lastIndexOf("@") + 1).replace(/:\d*$/, "");
}

function nameOf(host: string): string {
  const name = host.replace(/\.$/, "").toLowerCase();
  return NAME.test(name) && isIP(name) === 0 ? name : "";
}
