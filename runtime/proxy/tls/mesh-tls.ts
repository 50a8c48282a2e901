/**
 * mTLS between proxies (DESIGN decision 7, reference 5.5): 1.3 only, no resumption. The handshake is node:tls's; the bytes
 * then go through the transport's fast path.
 */
import type { Socket } from "node:net";
import { type SecureContext, TLSSocket, connect as tlsConnect } from "node:tls";
import type { LocalIdentity } from "../identity/local-identity.ts";
import type { Client } from "../policy/inbound.ts";
import {
  type Address,
  type ByteStream,
  ConnectError,
  nobody,
  type StreamOwner,
  type Transport,
} from "../transport/stream.ts";
import { peerNames, verificationError } from "./peer.ts";

/** ALPN of connections that begin with a transport header (reference 5.6). */
export const TRANSPORT_PROTOCOL = "transport.l5d.io/v1";

/** The peer is not who discovery said, or shows a certificate that leads to no trust anchor. Nothing was sent to it. */
export class PeerIdentityError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "PeerIdentityError";
  }
}

/** A server-side session: the stream, who is at its other end, and whether a transport header follows. */
export interface AcceptedSession {
  readonly stream: ByteStream;
  readonly client: Pick<Client, "tls" | "identity">;
  readonly transportHeader: boolean;
}

/**
 * Ends TLS on a socket whose ClientHello is still to be read.
 * @throws Error with what went wrong in the handshake; the socket is closed then
 */
export function acceptTls(
  transport: Transport,
  socket: Socket,
  identity: LocalIdentity,
  timeoutMs: number,
  owner: StreamOwner,
): Promise<AcceptedSession> {
  const context = identity.context();
  if (context === undefined) {
    socket.destroy();
    return Promise.reject(new PeerIdentityError("this proxy has no valid certificate"));
  }
  const tls = new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    requestCert: true,
    // A client need not have a certificate; one that it shows is checked below.
    rejectUnauthorized: false,
    ALPNProtocols: [TRANSPORT_PROTOCOL],
  });
  return shakeHands(tls, "secure", timeoutMs, (error) => error).then(() => {
    const names = peerNames(tls);
    const problem = names === undefined ? undefined : verificationError(tls);
    if (problem !== undefined) {
      tls.destroy();
      throw new PeerIdentityError(`the client's certificate was refused: ${problem}`);
    }
    const name = names?.[0];
    return {
      stream: transport.adopt(tls, owner, socket),
      client: name === undefined ? { tls: "server" } : { tls: "mutual", identity: name },
      transportHeader: tls.alpnProtocol === TRANSPORT_PROTOCOL,
    };
  });
}

export interface TlsTarget {
  readonly address: Address;
  /** A name that the peer's leaf must carry. */
  readonly identity: string;
  readonly serverName: string;
  readonly transportHeader: boolean;
}

/**
 * Connects within `connectTimeoutMs` and shakes hands within `handshakeTimeoutMs`.
 * @throws ConnectError, PeerIdentityError; nothing of an application was sent in either case
 */
export async function connectTls(
  transport: Transport,
  target: TlsTarget,
  identity: LocalIdentity,
  timeouts: { readonly connectMs: number; readonly handshakeMs: number },
  owner: StreamOwner,
): Promise<ByteStream> {
  const context = identity.context();
  if (context === undefined) throw new PeerIdentityError("this proxy has no valid certificate");
  const tcp = await transport.connect(target.address, timeouts.connectMs, nobody);
  const socket = transport.release(tcp, Buffer.alloc(0));
  const tls = startClient(socket, context, target);
  await shakeHands(tls, "secure", timeouts.handshakeMs, (error) => asConnectError(target, error));
  const untrusted = verificationError(tls);
  if (untrusted !== undefined) {
    tls.destroy();
    throw new PeerIdentityError(
      `the certificate of ${target.address.ip}:${target.address.port} was refused: ${untrusted}`,
    );
  }
  const names = peerNames(tls) ?? [];
  const problem = names.includes(target.identity)
    ? target.transportHeader && tls.alpnProtocol !== TRANSPORT_PROTOCOL
      ? `${target.identity} does not understand ${TRANSPORT_PROTOCOL}`
      : undefined
    : `${target.address.ip}:${target.address.port} is "${names[0] ?? "nobody"}", not "${target.identity}"`;
  if (problem === undefined) return transport.adopt(tls, owner, socket);
  tls.destroy();
  throw new PeerIdentityError(problem);
}

/** The steps of tls.connect that have no public name. */
interface ClientSteps {
  _releaseControl(): boolean;
  setServername(name: string): void;
  _start(): void;
}

/**
 * Says ClientHello. Whether the peer's certificate may be trusted, and whose it is, is asked of the socket after its `secure` event.
 * tls.connect would turn the whole chain into objects for a check of host names that is not wanted here (a sixth of a client's CPU
 * a handshake), and keep 170 KiB of machine code of the expression that asks whether the name is an IP address.
 */
function startClient(socket: Socket, secureContext: SecureContext, target: TlsTarget): TLSSocket {
  const options = {
    secureContext,
    rejectUnauthorized: true,
    ...(target.transportHeader ? { ALPNProtocols: [TRANSPORT_PROTOCOL] } : {}),
  };
  const steps = TLSSocket.prototype as unknown as Partial<ClientSteps>;
  const { _releaseControl: release, setServername, _start: start } = steps;
  if (release === undefined || setServername === undefined || start === undefined) {
    return tlsConnect({ ...options, socket, servername: target.serverName, checkServerIdentity: () => undefined });
  }
  const tls = new TLSSocket(socket, { ...options, isServer: false, requestCert: true });
  release.call(tls as TLSSocket & ClientSteps);
  setServername.call(tls as TLSSocket & ClientSteps, target.serverName);
  start.call(tls as TLSSocket & ClientSteps);
  return tls;
}

/** Resolves at `event`, with no listener left; the socket is destroyed where it fails. */
function shakeHands(
  tls: TLSSocket,
  event: "secure",
  timeoutMs: number,
  explain: (error: NodeJS.ErrnoException) => Error,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      tls.off("error", settle);
      tls.off("close", onClose);
      tls.off(event, onSecure);
      if (error === undefined) {
        resolve();
        return;
      }
      tls.destroy();
      reject(explain(error));
    };
    const onClose = (): void =>
      settle(Object.assign(new Error("the peer closed during the TLS handshake"), { code: "ECONNRESET" }));
    const onSecure = (): void => settle();
    const timer = setTimeout(
      () => settle(Object.assign(new Error("the TLS handshake took too long"), { code: "ETIMEDOUT" })),
      timeoutMs,
    );
    // Somebody must listen at every moment: an error that nobody hears ends the process.
    tls.on("error", () => undefined);
    tls.on("error", settle);
    tls.on("close", onClose);
    tls.on(event, onSecure);
  });
}

function asConnectError(target: TlsTarget, error: NodeJS.ErrnoException): Error {
  const { code = "" } = error;
  // Codes of certificates (CERT_HAS_EXPIRED, UNABLE_TO_VERIFY_LEAF_SIGNATURE…) and of OpenSSL are about who, not about where.
  if (/CERT|VERIFY|SIGNED|ISSUER|^ERR_SSL/.test(code)) {
    return new PeerIdentityError(
      `the certificate of ${target.address.ip}:${target.address.port} was refused: ${error.message}`,
    );
  }
  return new ConnectError(target.address, code || "EPROTO");
}
