/**
 * The one file that knows Node's stream handles. They are internals: `process.binding` is deprecated (DEP0111) but there in
 * Node 20 to 24, and costs half of what net.Socket does. `loadInternals` checks that every piece is there; where one is
 * missing the public implementation takes over.
 */
import type { Socket } from "node:net";

export interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
  stream: unknown;
  /** Ours until it is complete. Not `buffer`: Node has one of that name, and what it keeps there is its own affair. */
  whole?: Buffer | undefined;
}

export interface StreamHandle {
  readonly fd: number;
  /** Must stay a function once it is one. */
  onread: ((this: StreamHandle) => void) | undefined;
  /** Set by us: who reads this handle. */
  weft?: unknown;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, buffer: Uint8Array): number;
  shutdown(request: WriteRequest): number;
  close(callback?: () => void): void;
}

export interface TcpHandle extends StreamHandle {
  onconnection: ((status: number, client: TcpHandle) => void) | undefined;
  bind(ip: string, port: number): number;
  bind6(ip: string, port: number, flags: number): number;
  listen(backlog: number): number;
  connect(request: WriteRequest, ip: string, port: number): number;
  connect6(request: WriteRequest, ip: string, port: number): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
  getpeername(out: { address?: string; port?: number }): number;
  getsockname(out: { address?: string; port?: number }): number;
  reset(callback?: () => void): number;
}

export interface Internals {
  newTcp(kind: "socket" | "server"): TcpHandle;
  newWrite(): WriteRequest;
  newConnect(): WriteRequest;
  newShutdown(): WriteRequest;
  /** After onread: bytes read, or a negative errno. */
  bytesRead(): number;
  /** After writeBuffer: whether the buffer is still needed. */
  lastWriteWasAsync(): boolean;
  /** The handle under a socket. */
  handleOf(socket: Socket): StreamHandle | undefined;
}

/** libuv's UV_EOF. */
export const END_OF_STREAM = -4095;

interface TcpBinding {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => WriteRequest;
  readonly constants: { readonly SOCKET: number; readonly SERVER: number };
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

/** @returns undefined where this Node has no such handles, or not in the shape expected */
export function loadInternals(): Internals | undefined {
  const quiet = process.noDeprecation;
  process.noDeprecation = true;
  try {
    const binding = (process as unknown as { binding(name: string): unknown }).binding;
    const tcp = binding("tcp_wrap") as TcpBinding;
    const stream = binding("stream_wrap") as StreamBinding;
    return isComplete(tcp, stream) ? internals(tcp, stream) : undefined;
  } catch {
    // No such binding: the answer is the public implementation.
    return undefined;
  } finally {
    if (quiet === undefined) delete (process as { noDeprecation?: boolean }).noDeprecation;
    else process.noDeprecation = quiet;
  }
}

function isComplete(tcp: TcpBinding, stream: StreamBinding): boolean {
  const handle = tcp.TCP.prototype as unknown as Record<string, unknown>;
  const methods = [
    "useUserBuffer",
    "readStart",
    "readStop",
    "writeBuffer",
    "shutdown",
    "close",
    "bind",
    "listen",
    "connect",
    "setKeepAlive",
    "reset",
  ];
  return (
    methods.every((name) => typeof handle[name] === "function") &&
    typeof tcp.TCPConnectWrap === "function" &&
    typeof stream.WriteWrap === "function" &&
    typeof stream.ShutdownWrap === "function" &&
    stream.streamBaseState?.[stream.kReadBytesOrError] !== undefined &&
    stream.streamBaseState[stream.kLastWriteWasAsync] !== undefined
  );
}

function internals(tcp: TcpBinding, stream: StreamBinding): Internals {
  const state = stream.streamBaseState;
  const readIndex = stream.kReadBytesOrError;
  const asyncIndex = stream.kLastWriteWasAsync;
  return {
    newTcp: (kind) => new tcp.TCP(kind === "server" ? tcp.constants.SERVER : tcp.constants.SOCKET),
    newWrite: () => new stream.WriteWrap(),
    newConnect: () => new tcp.TCPConnectWrap(),
    newShutdown: () => new stream.ShutdownWrap(),
    bytesRead: () => state[readIndex] as number,
    lastWriteWasAsync: () => state[asyncIndex] !== 0,
    handleOf: (socket) => (socket as unknown as { _handle?: StreamHandle })._handle ?? undefined,
  };
}
