/** A TCP connection to a pod's loopback, carried by a process in the pod's network namespace: for port-forward. */
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { TOOL_ENV } from "./command.ts";

/** Tells the connection's fate in its first byte: `+`, or `-` and why. */
const RELAY = `
const socket = require("node:net").connect({ host: "127.0.0.1", port: Number(process.argv[1]), allowHalfOpen: true });
socket.once("error", (error) => process.stdout.write("-" + error.message, () => process.exit(1)));
socket.once("connect", () => {
  socket.removeAllListeners("error").on("error", () => process.exit(1));
  process.stdout.write("+");
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
});
`;

/** @param namespace its path @throws Error where nothing listens on the port */
export async function dialInNamespace(namespace: string, port: number): Promise<Duplex> {
  const child = spawn(
    "setpriv",
    ["--pdeathsig=KILL", "nsenter", `--net=${namespace}`, process.execPath, "-e", RELAY, String(port)],
    { env: TOOL_ENV, stdio: ["pipe", "pipe", "ignore"] },
  );
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  failed.catch(() => {});
  const first = await Promise.race([failed, new Promise<Buffer>((resolve) => child.stdout.once("data", resolve))]);
  if (first[0] !== 0x2b) throw new Error(`cannot connect to port ${port} in the pod: ${first.subarray(1).toString()}`);
  if (first.length > 1) child.stdout.unshift(first.subarray(1));
  const duplex = Duplex.from({ readable: child.stdout, writable: child.stdin });
  duplex.once("close", () => child.kill("SIGKILL"));
  return duplex;
}
