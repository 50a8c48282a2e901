/** TCP over Node's stream handles: listens, connects, takes over from node:tls. */
import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { HandleStream } from "./handle-stream.ts";
import type { Internals, TcpHandle } from "./node-internals.ts";
import type { OriginalDestination } from "./original-destination.ts";
import { applyUserTimeout, keepAliveSeconds, type SocketSettings } from "./socket-settings.ts";
import {
  type Accepted,
  type Address,
  type ByteStream,
  ConnectError,
  type StreamOwner,
  type Transport,
} from "./stream.ts";

/** Listens, connects and adopts on Node's own handles. */
export function handleTransport(
  internals: Internals,
  originalDestination: OriginalDestination,
  sockets: SocketSettings,
): Transport {
  return {
    name: "handles",
    listen: (address, backlog, accept) => {
      const server = internals.newTcp("server");
      const v6 = address.ip.includes(":");
      const failed =
        (v6 ? server.bind6(address.ip, address.port, 0) : server.bind(address.ip, address.port)) ||
        server.listen(backlog);
      if (failed !== 0) {
        server.close();
        return Promise.reject(new Error(`listen on ${address.ip}:${address.port}: ${getSystemErrorName(failed)}`));
      }
      const idle = keepAliveSeconds(sockets.accept);
      if (idle > 0) server.setKeepAlive(true, idle);
      applyUserTimeout(sockets, sockets.accept, server.fd);
      server.onconnection = (status, client) => {
        if (status === 0) accept(new AcceptedHandle(internals, client, originalDestination));
      };
      return Promise.resolve({ address: nameOf(server, "getsockname"), close: () => server.close() });
    },
    connect: (address, timeoutMs, owner) => connect(internals, sockets, address, timeoutMs, owner),
    adopt: (socket, owner, under) => adopt(internals, socket, owner, under),
    release: (stream, head) => (stream as HandleStream).release(head),
  };
}

class AcceptedHandle implements Accepted {
  readonly #internals: Internals;
  readonly #handle: TcpHandle;
  readonly remote: Address;
  readonly local: Address;
  readonly original: Address | undefined;

  constructor(internals: Internals, handle: TcpHandle, originalDestination: OriginalDestination) {
    this.#internals = internals;
    this.#handle = handle;
    handle.setNoDelay(true);
    this.remote = nameOf(handle, "getpeername");
    this.local = nameOf(handle, "getsockname");
    this.original = originalDestination(handle.fd);
  }

  open(owner: StreamOwner): ByteStream {
    const stream = new HandleStream(this.#internals, this.#handle, owner, undefined);
    stream.start();
    return stream;
  }
}

function nameOf(handle: TcpHandle, method: "getpeername" | "getsockname"): Address {
  const out: { address?: string; port?: number } = {};
  handle[method](out);
  const ip = out.address ?? "";
  // A dual-stack socket names IPv4 peers as ::ffff:a.b.c.d.
  return { ip: ip.startsWith("::ffff:") ? ip.slice(7) : ip, port: out.port ?? 0 };
}

function connect(
  internals: Internals,
  sockets: SocketSettings,
  address: Address,
  timeoutMs: number,
  owner: StreamOwner,
): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const handle = internals.newTcp("socket");
    const request = internals.newConnect();
    let settled = false;
    const fail = (code: string): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      handle.close();
      reject(new ConnectError(address, code));
    };
    // Timers come before what the sockets have to tell: a loop that was busy for as long may find the connection there.
    const timer = setTimeout(() => setImmediate(fail, "ETIMEDOUT"), timeoutMs);
    request.oncomplete = (status) => {
      if (status < 0) return fail(getSystemErrorName(status));
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      handle.setNoDelay(true);
      const idle = keepAliveSeconds(sockets.connect);
      if (idle > 0) handle.setKeepAlive(true, idle);
      applyUserTimeout(sockets, sockets.connect, handle.fd);
      const stream = new HandleStream(internals, handle, owner, undefined);
      stream.start();
      resolve(stream);
    };
    const status = address.ip.includes(":")
      ? handle.connect6(request, address.ip, address.port)
      : handle.connect(request, address.ip, address.port);
    if (status !== 0) fail(getSystemErrorName(status));
  });
}

/** @param socket a TLSSocket after its handshake: its handle decrypts, and is read as any other */
function adopt(internals: Internals, socket: Socket, owner: StreamOwner, under: Socket): ByteStream {
  const handle = internals.handleOf(socket);
  if (handle === undefined) throw new Error("the socket to adopt is closed already");
  const early: Buffer[] = [];
  for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null)
    early.push(chunk);
  // Until now, and by each read above, the socket read for itself: nothing must come past what it had.
  handle.readStop();
  const stream = new HandleStream(internals, handle, owner, { socket, under });
  stream.startWith(early);
  return stream;
}
