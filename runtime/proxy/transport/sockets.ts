/** The same transport over public net.Socket: what runs where Node's stream handles are not as expected. */
import { createServer, connect as netConnect, type Server, type Socket } from "node:net";
import type { OriginalDestination } from "./original-destination.ts";
import { resetTls } from "./reset-tls.ts";
import { applyUserTimeout, keepAliveSeconds, type Liveness, type SocketSettings } from "./socket-settings.ts";
import {
  type Accepted,
  type Address,
  type ByteStream,
  ConnectError,
  type StreamOwner,
  type Transport,
} from "./stream.ts";

export function socketTransport(originalDestination: OriginalDestination, sockets: SocketSettings): Transport {
  return {
    name: "sockets",
    listen: (address, backlog, accept) =>
      new Promise((resolve, reject) => {
        const server: Server = createServer(
          { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, ...keepAliveOptions(sockets.accept) },
          (socket) => accept(acceptedSocket(socket, originalDestination)),
        );
        server.once("error", reject);
        server.listen(address.port, address.ip, backlog, () => {
          applyUserTimeout(sockets, sockets.accept, fdOf(server));
          const { address: ip, port } = server.address() as { address: string; port: number };
          resolve({ address: { ip, port }, close: () => server.close() });
        });
      }),
    connect: (address, timeoutMs, owner) => connect(sockets, address, timeoutMs, owner),
    adopt: (socket, owner, under) => new SocketStream(socket, owner, under),
    release: (stream, head) => (stream as SocketStream).release(head),
  };
}

function acceptedSocket(socket: Socket, originalDestination: OriginalDestination): Accepted {
  const fd = fdOf(socket) ?? -1;
  return {
    remote: { ip: plainIp(socket.remoteAddress), port: socket.remotePort ?? 0 },
    local: { ip: plainIp(socket.localAddress), port: socket.localPort ?? 0 },
    original: fd < 0 ? undefined : originalDestination(fd),
    open: (owner) => {
      const stream = new SocketStream(socket, owner);
      socket.resume();
      return stream;
    },
  };
}

function keepAliveOptions(liveness: Liveness | undefined): { keepAlive?: true; keepAliveInitialDelay?: number } {
  const idle = keepAliveSeconds(liveness);
  return idle > 0 ? { keepAlive: true, keepAliveInitialDelay: idle * 1_000 } : {};
}

function fdOf(socket: Socket | Server): number | undefined {
  return (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
}

function plainIp(ip: string | undefined): string {
  return ip?.startsWith("::ffff:") ? ip.slice(7) : (ip ?? "");
}

function connect(
  sockets: SocketSettings,
  address: Address,
  timeoutMs: number,
  owner: StreamOwner,
): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const socket = netConnect({
      host: address.ip,
      port: address.port,
      allowHalfOpen: true,
      noDelay: true,
      ...keepAliveOptions(sockets.connect),
    });
    const fail = (code: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new ConnectError(address, code));
    };
    const late = (): void => {
      if (socket.connecting) fail("ETIMEDOUT");
    };
    // Timers come before what the sockets have to tell: a loop that was busy for as long may find the connection there.
    const timer = setTimeout(() => setImmediate(late), timeoutMs);
    const onError = (error: NodeJS.ErrnoException): void => fail(error.code ?? "EPROTO");
    socket.once("error", onError);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", onError);
      applyUserTimeout(sockets, sockets.connect, fdOf(socket));
      resolve(new SocketStream(socket, owner));
    });
  });
}

class SocketStream implements ByteStream {
  owner: StreamOwner;
  readonly #socket: Socket;
  /** Whose reset is a TCP reset: under TLS, another socket. */
  readonly #tcp: Socket;
  #closed = false;
  #code = "";

  constructor(socket: Socket, owner: StreamOwner, under: Socket = socket) {
    this.owner = owner;
    this.#socket = socket;
    this.#tcp = under;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (!this.#closed) this.owner.onData(chunk, 0, chunk.length);
  };
  readonly #onEnd = (): void => {
    if (!this.#closed) this.owner.onEnd();
  };
  readonly #onDrain = (): void => {
    if (!this.#closed) this.owner.onDrain();
  };
  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#code = error.code ?? "EPROTO";
  };
  readonly #onClose = (): void => this.#finish(this.#code);

  #finish(code: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.owner.onClose(code);
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.#closed || start === end || this.#socket.writableEnded) return true;
    return this.#socket.write(Buffer.from(buffer.subarray(start, end)));
  }

  end(): void {
    if (!this.#closed) this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
    this.#finish("");
  }

  reset(): void {
    if (this.#closed) return;
    // libuv refuses to reset what is shutting down, and leaves it open.
    if (this.#socket.writableEnded && !this.#socket.writableFinished) this.#socket.destroy();
    else if (this.#tcp === this.#socket) this.#socket.resetAndDestroy();
    else resetTls(this.#socket, this.#tcp);
    this.#finish("");
  }

  get unsent(): boolean {
    return this.#socket.writableLength > 0;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  release(head: Buffer): Socket {
    const socket = this.#socket;
    this.#closed = true;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("drain", this.#onDrain);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
    // Whatever goes wrong with it is told by the TLS socket on it as well.
    socket.on("error", () => undefined);
    if (head.length > 0) socket.unshift(head);
    return socket;
  }
}
