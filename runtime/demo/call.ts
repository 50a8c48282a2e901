/** How agents call each other: by Service name, over kept-alive connections. */
import { Agent, request } from "node:http";

const agent = new Agent({ keepAlive: true, maxSockets: 32 });

/** An answer that was none: no connection, a broken one, or a status ≥ 500. */
export class CallError extends Error {
  readonly status: number | undefined;
  constructor(message: string, status: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.name = "CallError";
    this.status = status;
  }
}

/**
 * One call with a JSON answer. Time-out 10 s.
 * @throws CallError
 */
export function call(method: "GET" | "POST", url: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const outgoing = request(url, { method, agent, headers, timeout: 10_000 }, (response) => {
      let received = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        received += chunk;
      });
      response.on("error", (cause) =>
        reject(new CallError(`${method} ${url} broke off: ${cause.message}`, undefined, { cause })),
      );
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        if (status >= 500) reject(new CallError(`${method} ${url} answered ${status}`, status));
        else resolve(received === "" ? undefined : JSON.parse(received));
      });
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error("no answer within 10 s")));
    outgoing.on("error", (cause) =>
      reject(new CallError(`${method} ${url} failed: ${cause.message}`, undefined, { cause })),
    );
    outgoing.end(text);
  });
}
