/** One conversation by the library `ws`. Run as: websocket-client.ts <url> <sizes> <closing>; prints a {@link WebSocketResult} as JSON. */
import { createHash, randomBytes } from "node:crypto";
import { WebSocket } from "ws";

export interface WebSocketResult {
  readonly protocol: string;
  readonly extensions: string;
  /** Messages that came back as they went, of all. */
  readonly same: number;
  readonly pong: boolean;
  readonly code: number;
  readonly reason: string;
}

const [url = "", sizes = "", closing = ""] = process.argv.slice(2);
const socket = new WebSocket(url, ["first", "second"], { handshakeTimeout: 5_000 });
const deadline = setTimeout(() => socket.terminate(), 20_000);
const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const sent: string[] = [];
let same = 0;
let pong = false;
socket.on("open", () => {
  socket.ping("are you there");
  for (const [index, size] of sizes.split(",").map(Number).entries()) {
    // Text and bytes by turns; the text takes what its encoding takes.
    const message = index % 2 === 0 ? randomBytes(size) : Buffer.from("ä€".repeat(Math.floor(size / 5)));
    sent.push(`${index % 2 === 0} ${hash(message)}`);
    socket.send(message, { binary: index % 2 === 0 });
  }
});
socket.on("pong", (data) => {
  pong = String(data) === "are you there";
});
socket.on("message", (data, binary) => {
  if (`${binary} ${hash(data as Buffer)}` === sent.shift()) same++;
  if (sent.length > 0) return;
  const own = /^own (\d+) (.*)$/.exec(closing);
  if (own === null) socket.send(closing);
  else socket.close(Number(own[1]), own[2]);
});
socket.on("error", (error) => console.error(error.message));
socket.on("close", (code, reason) => {
  clearTimeout(deadline);
  const { protocol, extensions } = socket;
  const result: WebSocketResult = { protocol, extensions, same, pong, code, reason: String(reason) };
  console.log(JSON.stringify(result));
});
