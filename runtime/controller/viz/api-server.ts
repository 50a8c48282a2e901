/**
 * The HTTPS server of both aggregated APIs, on loopback: the front of port 10250 passes its connections here. HTTP/2 (which
 * the API server's aggregator chooses) and HTTP/1.1 by ALPN.
 */
import { X509Certificate } from "node:crypto";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { PeerCertificate, SecureContextOptions, TLSSocket } from "node:tls";
import { dnsNames } from "../../x509/chain.ts";
import { type Log, messageOf } from "../config/log.ts";
import { type AnyRequest, type AnyResponse, Exchange, type Peer } from "./exchange.ts";
import { isFrontProxy, mayBeClient, readUser } from "./request-header.ts";
import type { ServingMaterial } from "./serving-material.ts";
import { StatusError } from "./status.ts";

export interface ApiServerOptions {
  /** Its certificate and requestheader configuration must be there. */
  readonly material: ServingMaterial;
  /** First SAN of the leaf that a replica of this process shows. */
  readonly replicaIdentity: string;
  readonly handle: (exchange: Exchange) => Promise<void>;
  /** Told when an answer has ended, or its client has gone: HTTP version (`1.1`, `2.0`) and status code. */
  readonly onAnswer: (http: string, code: number) => void;
  readonly log: Log;
  readonly host: string;
  readonly port: number;
}

export interface ApiServer {
  readonly port: number;
  /** Ends streams and connections. */
  close(): Promise<void>;
}

/** Taps and streams of many users share one connection of the aggregator. MB. */
const SESSION_MEMORY_MB = 64;

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { material, log } = options;
  const stopping = new AbortController();
  const sessions = new Set<{ destroy(): void }>();
  const server = createSecureServer({
    ...contextOptions(material),
    allowHTTP1: true,
    minVersion: "TLSv1.2",
    requestCert: true,
    // Discovery and health are for everybody; who has no good certificate is nobody.
    rejectUnauthorized: false,
    maxSessionMemory: SESSION_MEMORY_MB,
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", (error) => log.debug("connection failed", { reason: error.message }));
  });
  server.on("secureConnection", (socket) => {
    sessions.add(socket);
    socket.on("close", () => sessions.delete(socket));
    socket.on("error", (error: Error) => log.debug("connection failed", { reason: error.message }));
  });
  server.on("tlsClientError", (error) => log.debug("TLS handshake failed", { reason: error.message }));
  const certificates = new ShownCertificates();
  server.on("request", (request: Http2ServerRequest, response: Http2ServerResponse) => {
    void serve(request, response);
  });

  async function serve(request: AnyRequest, response: AnyResponse): Promise<void> {
    response.once("close", () => options.onAnswer(request.httpVersion, response.statusCode));
    let exchange: Exchange;
    try {
      const peer = peerOf(certificates.of(request), request, options);
      exchange = new Exchange(request, response, peer, stopping.signal);
    } catch (error) {
      // The connection broke while it was looked at.
      log.debug("request dropped", { reason: messageOf(error) });
      response.destroy();
      return;
    }
    try {
      await options.handle(exchange);
    } catch (error) {
      if (exchange.signal.aborted) return;
      if (error instanceof StatusError) {
        exchange.fail(error);
        return;
      }
      log.error("request failed", { method: exchange.method, path: exchange.url.pathname, reason: messageOf(error) });
      exchange.fail(new StatusError("InternalError", `the statistics process failed: ${messageOf(error)}`));
    }
  }

  const unsubscribe = material.onChange(() => {
    try {
      server.setSecureContext(contextOptions(material));
    } catch (error) {
      log.error("the new certificate is not usable", { reason: messageOf(error) });
    }
  });
  await listen(server, options.host, options.port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        unsubscribe();
        stopping.abort();
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}

function contextOptions({ certificate, requestHeader, anchorsPem }: ServingMaterial): SecureContextOptions {
  if (certificate === undefined || requestHeader === undefined) {
    throw new Error("the serving certificate or the requestheader configuration is missing");
  }
  return {
    cert: certificate.certificate,
    key: certificate.key,
    // An anchor of the mesh need not be self-signed.
    allowPartialTrustChain: true,
    // Named in the handshake, so that clients choose the right certificate; peerOf verifies.
    ca: [requestHeader.caPem, ...(anchorsPem === "" ? [] : [anchorsPem])],
  };
}

function listen(server: Http2SecureServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** What a connection's client showed in the handshake, looked at once. */
interface Shown {
  readonly leaf: X509Certificate | undefined;
  /** Whether it leads to one of the authorities that the handshake named. */
  readonly authorized: boolean;
}

class ShownCertificates {
  readonly #shown = new WeakMap<object, Shown>();

  of(request: AnyRequest): Shown {
    // The socket that HTTP/2's requests show is a proxy of their session's.
    const connection = "stream" in request ? (request.stream.session ?? request.socket) : request.socket;
    let shown = this.#shown.get(connection);
    if (shown === undefined) {
      const socket = request.socket as TLSSocket;
      // Not getPeerX509Certificate: Node 24 never gives back what that takes.
      const { raw } = (socket.getPeerCertificate() ?? {}) as Partial<PeerCertificate>;
      shown = { leaf: raw && new X509Certificate(raw), authorized: socket.authorized };
      this.#shown.set(connection, shown);
    }
    return shown;
  }
}

function peerOf({ leaf, authorized }: Shown, request: AnyRequest, options: ApiServerOptions): Peer {
  const { requestHeader } = options.material;
  if (leaf === undefined || requestHeader === undefined) {
    return { kind: "anonymous", reason: "no client certificate was shown" };
  }
  if (isFrontProxy(leaf, requestHeader)) {
    const user = readUser(request.rawHeaders, requestHeader);
    return user === undefined ? { kind: "anonymous", reason: "the API server named no user" } : { kind: "user", user };
  }
  // The handshake trusts the API server's authority and the mesh's. Neither gives this name to anybody else.
  if (authorized && dnsNames(leaf)[0] === options.replicaIdentity && mayBeClient(leaf)) return { kind: "replica" };
  return { kind: "anonymous", reason: "the client certificate is neither the API server's nor a replica's" };
}
