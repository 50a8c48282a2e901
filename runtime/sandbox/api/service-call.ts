/** HTTPS to a Service of the cluster, as the API server itself makes it: to webhooks and aggregated API servers. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import { resource } from "../../kube/resources.ts";
import type { SandboxNode } from "../seam.ts";
import { listAt, stringAt } from "./object.ts";
import type { TlsPair } from "./pki.ts";
import type { ObjectStore } from "./store.ts";

export interface ServiceTarget {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface TlsTarget {
  readonly address: string;
  readonly port: number;
  /** Name that the certificate must have. */
  readonly servername: string;
  /** PEM; undefined: the machine's own roots. */
  readonly ca: string | undefined;
  readonly insecure?: boolean;
  /** Shown to the server. */
  readonly client?: TlsPair;
}

/** Where a Service is reached. @throws Error in the API server's words */
export function resolveService(
  store: ObjectStore,
  { namespace, name, port }: ServiceTarget,
): { address: string; port: number; servername: string } {
  const service = store.get(resource.services, namespace, name);
  if (service === undefined) throw new Error(`service "${name}" not found`);
  const known = listAt(service, "spec", "ports").some((entry) => entry["port"] === port);
  const address = stringAt(service, "spec", "clusterIP");
  if (!known) throw new Error(`no service port ${port} found for service "${name}"`);
  if (address === undefined || isIP(address) === 0) throw new Error(`service "${namespace}/${name}" has no cluster IP`);
  const slices = store
    .snapshot(resource.endpointSlices, namespace)
    .objects.filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === name);
  const endpoints = slices.flatMap((slice) => listAt(slice, "endpoints"));
  if (!endpoints.some((endpoint) => (endpoint["conditions"] as { ready?: boolean } | undefined)?.ready !== false)) {
    throw new Error(`no endpoints available for service "${name}"`);
  }
  return { address, port, servername: `${name}.${namespace}.svc` };
}

/** @throws Error where the peer cannot be reached or is not trusted */
export async function connectTls(
  dial: SandboxNode["dial"],
  target: TlsTarget,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const socket: Duplex = await dial(target.address, target.port, signal);
  return await new Promise<TLSSocket>((resolve, reject) => {
    const secure = connect({
      socket,
      ALPNProtocols: ["http/1.1"],
      ...(isIP(target.servername) === 0 ? { servername: target.servername } : {}),
      rejectUnauthorized: target.insecure !== true,
      ...(target.ca === undefined ? {} : { ca: target.ca }),
      ...(target.client === undefined ? {} : { cert: target.client.certificate, key: target.client.key }),
    });
    const abort = (): void =>
      void secure.destroy(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    signal.addEventListener("abort", abort, { once: true });
    const failed = (error: Error): void => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      reject(error);
    };
    secure.once("error", failed);
    secure.once("secureConnect", () => {
      secure.off("error", failed);
      // From here on the request over it tells what went wrong; one that has ended has nobody to tell.
      secure.on("error", () => {});
      resolve(secure);
    });
    secure.once("close", () => signal.removeEventListener("abort", abort));
  });
}

/** One request over a connection of its own. @returns the answer's head */
export function exchange(
  secure: TLSSocket,
  options: RequestOptions,
  body: AsyncIterable<Buffer> | NodeJS.ReadableStream | Buffer | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ ...options, createConnection: () => secure });
    outgoing.once("response", resolve);
    outgoing.once("error", reject);
    if (body === undefined || Buffer.isBuffer(body)) outgoing.end(body);
    else (body as NodeJS.ReadableStream).pipe(outgoing);
  });
}
