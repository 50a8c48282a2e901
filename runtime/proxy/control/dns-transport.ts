/** One question to one DNS server, by UDP or TCP (RFC 1035, 4.2). Loaded with the first name that is looked up. */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { Address } from "../transport/stream.ts";
import type { DnsAnswer } from "./dns-message.ts";

export interface DnsExchange {
  readonly server: Address;
  readonly query: Buffer;
  readonly withinMs: number;
  readonly signal: AbortSignal;
  /** undefined: not the answer; another may come. */
  readonly read: (bytes: Buffer, query: Buffer) => DnsAnswer | undefined;
}

/** A socket, and so a port, for each question: harder to answer for somebody else. Rejects with Error. */
export function askUdp({ server, query, withinMs, signal, read }: DnsExchange): Promise<DnsAnswer> {
  const socket = createSocket(isIPv6(server.ip) ? "udp6" : "udp4");
  return settle(
    { server, withinMs, signal },
    () => socket.close(),
    (resolve, reject) => {
      socket.on("error", reject);
      socket.on("message", (bytes) => {
        const answer = read(bytes, query);
        if (answer !== undefined) resolve(answer);
      });
      // Connected: only this server is heard, and a refusal too.
      socket.connect(server.port, server.ip, () => socket.send(query));
    },
  );
}

/** For answers that are too long for a datagram. Rejects with Error. */
export function askTcp({ server, query, withinMs, signal, read }: DnsExchange): Promise<DnsAnswer> {
  const socket = connect(server.port, server.ip);
  return settle(
    { server, withinMs, signal },
    () => socket.destroy(),
    (resolve, reject) => {
      let received = Buffer.alloc(0);
      const framed = Buffer.alloc(2 + query.length);
      framed.writeUInt16BE(query.length, 0);
      query.copy(framed, 2);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the connection was closed")));
      socket.on("data", (bytes: Buffer) => {
        received = Buffer.concat([received, bytes]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
        const answer = read(received.subarray(2, 2 + received.readUInt16BE(0)), query);
        if (answer === undefined) reject(new Error("the answer is malformed"));
        else resolve(answer);
      });
      socket.write(framed);
    },
  );
}

function settle(
  { server, withinMs, signal }: Pick<DnsExchange, "server" | "withinMs" | "signal">,
  close: () => void,
  begin: (resolve: (answer: DnsAnswer) => void, reject: (error: Error) => void) => void,
): Promise<DnsAnswer> {
  return new Promise((resolve, reject) => {
    let over = false;
    const end = (act: () => void): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      close();
      act();
    };
    const abort = (): void => end(() => reject(signal.reason as Error));
    const refuse = (error: Error): void =>
      end(() => reject(new Error(`the DNS server ${server.ip}: ${error.message}`, { cause: error })));
    const timer = setTimeout(() => refuse(new Error(`no answer within ${withinMs} ms`)), withinMs);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    else begin((answer) => end(() => resolve(answer)), refuse);
  });
}
