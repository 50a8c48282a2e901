/** One connection as a script: runs inside a pod. Run as: client.ts '<ClientScript>'; prints what came, as JSON. */
import { connect } from "node:net";

export interface ClientScript {
  readonly ip: string;
  readonly port: number;
  /** In order: text to send (latin1), a pause, or half-close. */
  readonly steps: readonly (
    | { readonly send: string }
    | { readonly waitMs: number }
    | { readonly waitFor: string }
    | "end"
  )[];
  /** Ends at the latest then. */
  readonly timeoutMs?: number;
}

export interface ClientResult {
  readonly received: string;
  /** The peer half-closed. */
  readonly ended: boolean;
  /** e.g. ECONNRESET */
  readonly error: string;
  readonly firstByteMs: number;
  readonly totalMs: number;
}

const script = JSON.parse(process.argv[2] as string) as ClientScript;
const began = performance.now();
const socket = connect({ host: script.ip, port: script.port, allowHalfOpen: true });
let received = "";
let ended = false;
let error = "";
let firstByteMs = -1;
let wake: (() => void) | undefined;
socket.setEncoding("latin1");
socket.on("data", (chunk: string) => {
  if (firstByteMs < 0) firstByteMs = performance.now() - began;
  received += chunk;
  wake?.();
});
socket.on("end", () => {
  ended = true;
  wake?.();
});
socket.on("error", (problem: NodeJS.ErrnoException) => {
  error = problem.code ?? problem.message;
});
const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
socket.on("close", () => wake?.());
const deadline = setTimeout(() => socket.destroy(), script.timeoutMs ?? 5_000);
for (const step of script.steps) {
  if (step === "end") socket.end();
  else if ("send" in step) socket.write(step.send, "latin1");
  else if ("waitMs" in step) await new Promise((resolve) => setTimeout(resolve, step.waitMs));
  else
    while (!received.includes(step.waitFor) && !ended && !socket.destroyed)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
}
if (!socket.writableEnded) {
  // Whoever still has something to say says it now.
  while (!ended && !socket.destroyed)
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  socket.end();
}
await closed;
clearTimeout(deadline);
const result: ClientResult = { received, ended, error, firstByteMs, totalMs: performance.now() - began };
console.log(JSON.stringify(result));
