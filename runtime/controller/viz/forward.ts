/** Passes a query on to the replica that scrapes: mTLS to its port 10250, by this process' own leaf of the mesh. */
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { port } from "../../model/ports.ts";
import type { Exchange } from "./exchange.ts";
import type { OwnIdentity } from "./own-identity.ts";
import type { ServingMaterial } from "./serving-material.ts";
import { StatusError } from "./status.ts";

export interface ForwardOptions {
  readonly identity: OwnIdentity;
  readonly material: ServingMaterial;
  /** `weft-viz.<ns>.svc`. */
  readonly serverName: string;
  readonly port?: number;
}

const HEAD_TIMEOUT_MS = 10_000;

/** @throws StatusError ServiceUnavailable where the replica does not answer */
export async function forward(exchange: Exchange, ip: string, options: ForwardOptions): Promise<void> {
  const response = await open(exchange, ip, options);
  exchange.head(response.statusCode ?? 502, { "content-type": response.headers["content-type"] ?? "application/json" });
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      exchange.write(chunk);
      await exchange.drained();
    }
    exchange.end();
  } catch {
    // The replica has gone in the middle: the client must see that.
    exchange.abort();
  } finally {
    response.destroy();
  }
}

async function open(exchange: Exchange, ip: string, options: ForwardOptions): Promise<IncomingMessage> {
  const { identity, material, serverName } = options;
  try {
    const { chain, key } = identity.leaf;
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpsRequest({
        host: ip,
        port: options.port ?? port.api,
        servername: serverName,
        ca: material.certificate?.ca,
        cert: chain,
        key,
        agent: false,
        method: "GET",
        path: exchange.url.pathname + exchange.url.search,
        headers: { accept: exchange.accept, host: serverName },
        signal: exchange.signal,
      });
      const timer = setTimeout(
        () => request.destroy(new Error(`no answer within ${HEAD_TIMEOUT_MS / 1000} s`)),
        HEAD_TIMEOUT_MS,
      );
      request.once("response", (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      request.once("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      request.end();
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StatusError("ServiceUnavailable", `the replica that scrapes (${ip}) does not answer: ${reason}`, {
      cause,
    });
  }
}
