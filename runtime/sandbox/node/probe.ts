/** One probe of a container, as the kubelet makes it: from outside the pod, to the pod's address. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Container, HttpGetAction, Probe } from "./pod-types.ts";

export interface ProbeTarget {
  readonly container: Container;
  readonly podAddress: string;
  exec(argv: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }>;
}

export interface ProbeResult {
  readonly ok: boolean;
  /** For the event. */
  readonly output: string;
}

/** As the kubelet of the Kubernetes we answer as. */
const USER_AGENT = "kube-probe/1.34";

/** Never rejects; ends within the probe's timeout or when `signal` aborts. */
export async function runProbe(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    if (probe.httpGet) return await httpGet(probe.httpGet, target, limit);
    if (probe.tcpSocket) {
      const host = probe.tcpSocket.host ?? target.podAddress;
      await tcpConnect(host, portNumber(probe.tcpSocket.port, target.container), limit);
      return { ok: true, output: "" };
    }
    if (probe.exec) {
      const { code, output } = await target.exec(probe.exec.command ?? [], limit);
      if (limit.aborted) return { ok: false, output: `command timed out after ${timeoutMs / 1000}s` };
      return { ok: code === 0, output };
    }
    return { ok: false, output: "the sandbox makes httpGet, tcpSocket and exec probes only" };
  } catch (error) {
    if (limit.aborted) return { ok: false, output: `no answer within ${timeoutMs / 1000}s` };
    return { ok: false, output: error instanceof Error ? error.message : String(error) };
  }
}

/** Any status from 200 to 399 is a success; a redirect is not followed. @throws Error where no answer came */
export function httpGet(action: HttpGetAction, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const tls = action.scheme === "HTTPS";
  const port = portNumber(action.port, target.container);
  const host = action.host ?? target.podAddress;
  const headers: Record<string, string> = { "User-Agent": USER_AGENT, Accept: "*/*", Connection: "close" };
  for (const { name, value } of action.httpHeaders ?? []) {
    const known = Object.keys(headers).find((key) => key.toLowerCase() === name.toLowerCase());
    headers[known ?? name] = value;
  }
  return new Promise((resolve, reject) => {
    const options = { host, port, path: action.path ?? "/", headers, signal, agent: false };
    // A kubelet does not ask whose certificate it is.
    const request = (tls ? httpsRequest : httpRequest)({ ...options, rejectUnauthorized: false });
    request.once("error", reject);
    request.once("response", (response) => {
      const status = response.statusCode ?? 0;
      response.resume();
      response.once("error", reject);
      response.once("close", () => {
        if (status >= 200 && status < 400) resolve({ ok: true, output: "" });
        else resolve({ ok: false, output: `HTTP probe failed with statuscode: ${status}` });
      });
    });
    request.end();
  });
}

function tcpConnect(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}

/** @throws Error for a name that no port of the container has */
function portNumber(port: number | string, container: Container): number {
  if (typeof port === "number" || /^\d+$/.test(port)) return Number(port);
  const named = container.ports?.find(({ name }) => name === port);
  if (named === undefined) throw new Error(`couldn't find port: container ${container.name} has none named "${port}"`);
  return named.containerPort;
}
