/** Puts the three events of a tapped exchange together into one record. */
import type { IPAddress, TcpAddress } from "../api/gen/common/net.ts";
import type { Duration } from "../api/gen/google/protobuf/duration.ts";
import { type Headers, type HttpMethod, HttpMethod_Registered, type Scheme } from "../api/gen/viz.ts";
import {
  type TapEvent,
  type TapEvent_Http_RequestInit,
  type TapEvent_Http_ResponseEnd,
  type TapEvent_Http_ResponseInit,
  type TapEvent_Http_StreamId,
  TapEvent_ProxyDirection,
} from "../api/gen/viz_tap.ts";
import type { TapPeer, TapRecord } from "./types.ts";

/** Exchanges under way; the oldest is given up beyond this (its end was lost, or it lasts longer than anybody watches). */
const MAX_PENDING = 10_000;
const WORKLOAD_LABELS = [
  "deployment",
  "statefulset",
  "daemonset",
  "job",
  "cronjob",
  "replicaset",
  "replicationcontroller",
];
const METHODS = new Map<number, string>(Object.entries(HttpMethod_Registered).map(([name, value]) => [value, name]));

type Opened = Omit<TapRecord, "status" | "grpcStatus" | "resetCode" | "durationMs" | "responseBytes">;
interface Pending {
  readonly request: Opened;
  response?: { readonly status: number; readonly latencyMs?: number; readonly headers?: TapRecord["responseHeaders"] };
}

export class TapRecords {
  readonly #pending = new Map<string, Pending>();

  /** @returns the record that this event completes */
  add(event: TapEvent): TapRecord | undefined {
    const http = event.event?.value.event;
    if (http === undefined || http.value.id === undefined) return undefined;
    const key = keyOf(event, http.value.id);
    if (http.$case === "requestInit") return this.#open(key, event, http.value);
    const pending = this.#pending.get(key);
    // The request passed before this tap began.
    if (pending === undefined) return undefined;
    if (http.$case === "responseInit") {
      pending.response = responseOf(http.value);
      return undefined;
    }
    this.#pending.delete(key);
    return complete(pending, http.value);
  }

  #open(key: string, event: TapEvent, init: TapEvent_Http_RequestInit): undefined {
    if (this.#pending.size >= MAX_PENDING) {
      for (const oldest of this.#pending.keys()) {
        this.#pending.delete(oldest);
        break;
      }
    }
    const inbound = event.proxyDirection !== TapEvent_ProxyDirection.OUTBOUND;
    const source = event.sourceMeta?.labels ?? {};
    const destination = event.destinationMeta?.labels ?? {};
    const headers = headersOf(init.headers);
    this.#pending.set(key, {
      request: {
        id: key,
        time: new Date().toISOString(),
        direction: inbound ? "inbound" : "outbound",
        source: peerOf(event.source, source, "client_id"),
        destination: peerOf(event.destination, destination, "server_id"),
        method: methodOf(init.method),
        scheme: schemeOf(init.scheme),
        authority: init.authority,
        path: init.path,
        // The far end's labels say how the connection to it is secured.
        tls: (inbound ? source : destination)["tls"] ?? "",
        ...(headers === undefined ? {} : { requestHeaders: headers }),
      },
    });
  }
}

function complete({ request, response }: Pending, end: TapEvent_Http_ResponseEnd): TapRecord {
  const durationMs = millisecondsOf(end.sinceRequestInit);
  const how = end.eos?.end;
  return {
    ...request,
    ...(response === undefined ? {} : { status: response.status }),
    ...(response?.latencyMs === undefined ? {} : { latencyMs: response.latencyMs }),
    ...(response?.headers === undefined ? {} : { responseHeaders: response.headers }),
    ...(how?.$case === "grpcStatusCode" ? { grpcStatus: how.value } : {}),
    ...(how?.$case === "resetErrorCode" ? { resetCode: how.value } : {}),
    ...(durationMs === undefined ? {} : { durationMs }),
    responseBytes: Number(end.responseBytes),
  };
}

function responseOf(init: TapEvent_Http_ResponseInit): NonNullable<Pending["response"]> {
  const latencyMs = millisecondsOf(init.sinceRequestInit);
  const headers = headersOf(init.headers);
  return {
    status: init.httpStatus,
    ...(latencyMs === undefined ? {} : { latencyMs }),
    ...(headers === undefined ? {} : { headers }),
  };
}

/** A stream id is unique within a proxy; both ends of a connection name the proxy. */
function keyOf(event: TapEvent, id: TapEvent_Http_StreamId): string {
  const direction = event.proxyDirection === TapEvent_ProxyDirection.OUTBOUND ? "out" : "in";
  return `${direction} ${addressOf(event.source)} ${addressOf(event.destination)} ${id.base}:${id.stream}`;
}

function peerOf(
  address: TcpAddress | undefined,
  labels: Readonly<Record<string, string>>,
  identityLabel: string,
): TapPeer {
  const workloadLabel = WORKLOAD_LABELS.find((label) => labels[label] !== undefined);
  const workload = workloadLabel === undefined ? undefined : labels[workloadLabel];
  const { pod, namespace } = labels;
  const identity = labels[identityLabel];
  return {
    address: addressOf(address),
    ...(pod === undefined ? {} : { pod }),
    ...(workload === undefined ? {} : { workload }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(identity === undefined ? {} : { identity }),
  };
}

function addressOf(address: TcpAddress | undefined): string {
  if (address === undefined) return "";
  const ip = ipOf(address.ip);
  return ip.includes(":") ? `[${ip}]:${address.port}` : `${ip}:${address.port}`;
}

function ipOf(address: IPAddress | undefined): string {
  const ip = address?.ip;
  if (ip === undefined) return "";
  if (ip.$case === "ipv4") return [24, 16, 8, 0].map((shift) => (ip.value >>> shift) & 0xff).join(".");
  const { first, last } = ip.value;
  const hex = ((first << 64n) | last).toString(16).padStart(32, "0");
  const groups = hex.match(/.{4}/g) ?? [];
  // URL writes the canonical form of RFC 5952.
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function methodOf(method: HttpMethod | undefined): string {
  const type = method?.type;
  if (type === undefined) return "";
  return type.$case === "unregistered" ? type.value : (METHODS.get(type.value) ?? "");
}

function schemeOf(scheme: Scheme | undefined): string {
  const type = scheme?.type;
  if (type === undefined) return "";
  return type.$case === "unregistered" ? type.value : type.value === 1 ? "https" : "http";
}

function headersOf(headers: Headers | undefined): (readonly [string, string])[] | undefined {
  return headers?.headers.map(({ name, value }) => {
    if (value === undefined) return [name, ""] as const;
    return [name, value.$case === "valueStr" ? value.value : value.value.toString("base64")] as const;
  });
}

function millisecondsOf(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
