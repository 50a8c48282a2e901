/**
 * A gRPC server behind a TLS server of its own. grpc-js' secure servers insist on ALPN h2 (Linkerd's proxies send none:
 * reference 4.3, "TLS … no ALPN") and take no new certificate; this one hands decrypted connections to it.
 */
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type SecureContext, type Server as TlsServer } from "node:tls";
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Log } from "../config/log.ts";

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcPortOptions {
  readonly port: number;
  /** Default all addresses. */
  readonly host?: string;
  readonly services: readonly GrpcService[];
  /**
   * Asked at each new connection, so that a renewed certificate is used at once and streams live on. Clients name whom
   * they call (SNI), as Linkerd's do; one that does not is refused.
   */
  readonly context: () => SecureContext | undefined;
  /** Whether a client must show a certificate that leads to a trust anchor. */
  readonly requireClientCertificate: boolean;
  readonly log: Log;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A proxy that vanished without a word (node lost) is noticed after interval + timeout. */
const KEEP_ALIVE = { "grpc.keepalive_time_ms": 60_000, "grpc.keepalive_timeout_ms": 20_000 };
const OPTIONS = {
  ...KEEP_ALIVE,
  // A proxy's single connection carries a discovery and a policy stream for each of its targets.
  "grpc.max_concurrent_streams": 100_000,
  // Its bookkeeping of every connection and call has no reader here.
  "grpc.enable_channelz": 0,
};

export class GrpcPort {
  readonly #options: GrpcPortOptions;
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  readonly #listener: TlsServer;
  readonly #sockets = new Set<Socket>();

  constructor(options: GrpcPortOptions) {
    this.#options = options;
    this.#server = new Server(OPTIONS);
    for (const { definition, implementation } of options.services) this.#server.addService(definition, implementation);
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    const { requireClientCertificate, log } = options;
    this.#listener = createServer({
      minVersion: "TLSv1.3",
      // A resumed session would skip the checks of a chain that a rotation has made worthless.
      secureOptions: constants.SSL_OP_NO_TICKET,
      ALPNProtocols: ["h2"],
      requestCert: requireClientCertificate,
      rejectUnauthorized: requireClientCertificate,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      noDelay: true,
      keepAlive: true,
      SNICallback: (_name, done) => done(null, options.context()),
    });
    this.#listener.on("secureConnection", (socket) => {
      // Without ALPN node:http2 would take it for HTTP/1; these ports speak HTTP/2 by prior knowledge.
      socket.alpnProtocol = "h2";
      this.#injector.injectConnection(socket);
    });
    this.#listener.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#listener.on("tlsClientError", (error, socket) => {
      log.debug("connection refused", { peer: socket.remoteAddress, reason: error.message });
    });
  }

  /** @returns the port in use. @throws Error when the port cannot be listened on */
  listen(): Promise<number> {
    const { port, host = "0.0.0.0" } = this.#options;
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen(port, host, () => {
        this.#listener.off("error", reject);
        const address = this.#listener.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Takes no more connections, tells clients to go elsewhere (GOAWAY), and ends what is left after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    this.#injector.drain(graceMs);
    const timer = setTimeout(() => {
      this.#server.forceShutdown();
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    this.#server.forceShutdown();
  }
}
