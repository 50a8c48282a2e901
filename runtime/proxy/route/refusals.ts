/** Filters that answer in a server's place: redirects, and failures on purpose (reference 5.1, 5.9). */
import type { GrpcFailureInjector } from "../../api/gen/io/linkerd/proxy/grpc_route.ts";
import type { HttpFailureInjector, Ratio, RequestRedirect } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import { Refusal } from "../http/failure.ts";
import type { RequestHead } from "../http/request-head.ts";
import { pathChange } from "./head-edits.ts";

/** undefined: the request goes on. */
export type Refuse = (request: RequestHead) => Refusal | undefined;

const FOUND = 302;

/**
 * @param matchedPrefix of the route's match, for replacements of it
 */
export function compileRedirect(redirect: RequestRedirect, matchedPrefix: string | undefined): Refuse {
  const { host, port } = redirect;
  const change = pathChange(redirect.path, matchedPrefix);
  const type = redirect.scheme?.type;
  const scheme = type === undefined ? undefined : type.$case === "unregistered" ? type.value : SCHEMES[type.value];
  const status = redirect.status >= 300 && redirect.status <= 399 ? redirect.status : FOUND;
  return (request) => {
    const authority = splitAuthority(request.authority);
    const newScheme = scheme ?? request.scheme;
    const newPort = port !== 0 ? port : scheme !== undefined && scheme !== request.scheme ? undefined : authority.port;
    const isUsual = newPort === undefined || newPort === USUAL_PORTS[newScheme];
    const path = change === undefined ? request.path : change(request.path);
    const query = request.query === "" ? "" : `?${request.query}`;
    const location = `${newScheme}://${host === "" ? authority.host : host}${isUsual ? "" : `:${newPort}`}${path}${query}`;
    return new Refusal("redirected", `redirected to ${location}`, { status, lines: [["location", location]] });
  };
}

const SCHEMES: Readonly<Record<number, string>> = { 0: "http", 1: "https" };
const USUAL_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

function splitAuthority(authority: string): { host: string; port: number | undefined } {
  const match = /^(.*?)(?::(\d+))?$/.exec(authority);
  const port = match?.[2];
  return { host: match?.[1] ?? "", port: port === undefined ? undefined : Number(port) };
}

/** gRPC's code for failures that HTTP's injector makes (reference 5.9). */
const FAILED_PRECONDITION = 9;

export function compileHttpInjector({ status, message, ratio }: HttpFailureInjector, random = Math.random): Refuse {
  // What is no final status would leave the client waiting.
  const told = status >= 200 && status <= 599 ? status : 500;
  const refusal = new Refusal("injected", message, { status: told, grpcStatus: FAILED_PRECONDITION });
  return withRatio(refusal, ratio, random);
}

export function compileGrpcInjector({ code, message, ratio }: GrpcFailureInjector, random = Math.random): Refuse {
  return withRatio(new Refusal("injected", message, { status: 500, grpcStatus: code }), ratio, random);
}

/** Without a ratio: always. A denominator of 0 is no ratio. */
function withRatio(refusal: Refusal, ratio: Ratio | undefined, random: () => number): Refuse {
  if (ratio === undefined || ratio.denominator === 0 || ratio.numerator >= ratio.denominator) return () => refusal;
  const share = ratio.numerator / ratio.denominator;
  return () => (random() < share ? refusal : undefined);
}
