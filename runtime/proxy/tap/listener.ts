/** The tap port: TLS with this proxy's leaf; who the client is decides whether it may observe. */
import { createServer, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { LocalIdentity } from "../identity/local-identity.ts";
import type { Logger } from "../log.ts";
import { peerNames, verificationError } from "../tls/peer.ts";
import type { Address } from "../transport/stream.ts";
import type { ObserveServer } from "./server.ts";
import type { TapWatchers } from "./watchers.ts";

export interface TapListenerOptions {
  readonly listen: Address;
  /** LINKERD2_PROXY_TAP_SVC_NAME: the only client identity that may observe. */
  readonly clientName: string;
  readonly identity: LocalIdentity;
  readonly watchers: TapWatchers;
  readonly log: Logger;
}

export interface TapListener {
  readonly address: Address;
  close(): void;
}

const HANDSHAKE_TIMEOUT_MS = 5_000;

/** @throws Error naming the address where it cannot listen */
export async function startTapListener(options: TapListenerOptions): Promise<TapListener> {
  const { listen, clientName, identity, watchers, log } = options;
  const open = new Set<Socket>();
  let observing: Promise<ObserveServer> | undefined;
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    accept(socket, identity).then(
      async ({ tls, client }) => {
        observing ??= import("./server.ts").then((module) => module.createObserveServer(watchers));
        const allowed = client === clientName;
        if (!allowed) log.warn(`tap refused to ${client ?? "a client without certificate"}`);
        (await observing).serve(tls, allowed);
      },
      (error: unknown) => {
        socket.destroy();
        log.debug(`tap: ${String(error)}`);
      },
    );
  });
  const address = await listening(server, listen);
  return {
    address,
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
      observing?.then(
        (observer) => observer.close(),
        () => undefined,
      );
    },
  };
}

function accept(socket: Socket, identity: LocalIdentity): Promise<{ tls: TLSSocket; client: string | undefined }> {
  return new Promise((resolve, reject) => {
    const secureContext = identity.context();
    if (secureContext === undefined) {
      reject(new Error("this proxy has no valid certificate"));
      return;
    }
    const tls = new TLSSocket(socket, {
      isServer: true,
      secureContext,
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
    });
    const timer = setTimeout(() => tls.destroy(new Error("the TLS handshake took too long")), HANDSHAKE_TIMEOUT_MS);
    tls.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    tls.once("close", () => {
      clearTimeout(timer);
      reject(new Error("closed during the TLS handshake"));
    });
    tls.once("secure", () => {
      clearTimeout(timer);
      // Only node:tls's own servers clear it; node:http2 would wait for it for ever.
      Object.assign(tls, { secureConnecting: false });
      resolve({ tls, client: verifiedClient(tls) });
    });
  });
}

/** First name of the client's certificate, where that leads to a trust anchor. */
function verifiedClient(tls: TLSSocket): string | undefined {
  return verificationError(tls) === undefined ? peerNames(tls)?.[0] : undefined;
}

function listening(server: Server, { ip, port }: Address): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`cannot listen on ${ip}:${port} for tap`, { cause })));
    server.listen({ host: ip, port, ipv6Only: false }, () => {
      const bound = server.address();
      resolve({ ip, port: typeof bound === "object" && bound !== null ? bound.port : port });
    });
  });
}
