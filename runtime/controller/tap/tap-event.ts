/** A proxy's tap event as the tap API tells it: the same, with what is known of the pods at both ends. */
import type { IPAddress, TcpAddress } from "../../api/gen/common/net.ts";
import type { Headers as ProxyHeaders } from "../../api/gen/io/linkerd/proxy/http_types.ts";
import type { TapEvent as ProxyEvent, TapEvent_Http as ProxyHttp } from "../../api/gen/io/linkerd/proxy/tap.ts";
import type { Headers } from "../../api/gen/viz.ts";
import type { TapEvent, TapEvent_Http } from "../../api/gen/viz_tap.ts";
import { TAP_NOTICE_LABEL } from "../../model/statistics.ts";
import type { PodView } from "../viz/pod-view.ts";

/** TapEvent.ProxyDirection. */
const OUTBOUND = 2;

export type PodByIp = (ip: string) => PodView | undefined;

/** @param identity of the proxy that told: an event names only the identity at the far end of the connection */
export function tapEvent(event: ProxyEvent, podByIp: PodByIp, identity: string): TapEvent {
  const { source, destination } = event;
  const sourceLabels = describe(source, event.sourceMeta?.labels, podByIp);
  const destinationLabels = describe(destination, event.destinationMeta?.labels, podByIp);
  if (event.proxyDirection === OUTBOUND) {
    if (destinationLabels["tls"] === "true") sourceLabels["client_id"] ??= identity;
  } else if (sourceLabels["tls"] === "true") destinationLabels["server_id"] ??= identity;
  return {
    source,
    destination,
    sourceMeta: { labels: sourceLabels },
    destinationMeta: { labels: destinationLabels },
    routeMeta: event.routeMeta,
    proxyDirection: event.proxyDirection,
    event: event.event === undefined ? undefined : { $case: "http", value: { event: httpEvent(event.event.value) } },
  };
}

/** An event without a request: clients that do not know it pass over it. */
export function noticeEvent(text: string): TapEvent {
  return {
    source: undefined,
    destination: undefined,
    sourceMeta: { labels: { [TAP_NOTICE_LABEL]: text } },
    destinationMeta: undefined,
    routeMeta: undefined,
    proxyDirection: 0,
    event: undefined,
  };
}

/** What the proxy said stands; the rest comes from the pod at that address. */
function describe(
  address: TcpAddress | undefined,
  said: Readonly<Record<string, string>> = {},
  podByIp: PodByIp,
): Record<string, string> {
  const pod = podByIp(ipText(address?.ip));
  if (pod === undefined) return { ...said };
  const { workload, replicaSet, serviceAccount, metadata, node } = pod;
  const known: Record<string, string> = {
    namespace: metadata.namespace ?? "",
    pod: metadata.name,
    serviceaccount: serviceAccount,
    ...(replicaSet === undefined ? {} : { replicaset: replicaSet }),
    ...(workload.kind === "Pod" ? {} : { [workload.kind.toLowerCase()]: workload.name }),
    ...(node === undefined ? {} : { node }),
  };
  return { ...known, ...said };
}

function httpEvent({ event }: ProxyHttp): TapEvent_Http["event"] {
  switch (event?.$case) {
    case "requestInit":
      return { $case: "requestInit", value: { ...event.value, headers: headers(event.value.headers) } };
    case "responseInit":
      return { $case: "responseInit", value: { ...event.value, headers: headers(event.value.headers) } };
    case "responseEnd":
      return { $case: "responseEnd", value: { ...event.value, trailers: headers(event.value.trailers) } };
    default:
      return undefined;
  }
}

function headers(list: ProxyHeaders | undefined): Headers | undefined {
  if (list === undefined) return undefined;
  return {
    headers: list.headers.map(({ name, value }) => {
      const text = value.toString("utf8");
      return {
        name,
        value: Buffer.from(text).equals(value)
          ? { $case: "valueStr" as const, value: text }
          : { $case: "valueBin" as const, value },
      };
    }),
  };
}

/** As pods' addresses are written in Kubernetes: dotted, or RFC 5952. */
export function ipText(address: IPAddress | undefined): string {
  const ip = address?.ip;
  if (ip === undefined) return "";
  if (ip.$case === "ipv4") return [24, 16, 8, 0].map((shift) => (ip.value >>> shift) & 0xff).join(".");
  const hex = ((ip.value.first << 64n) | ip.value.last).toString(16).padStart(32, "0");
  return new URL(`http://[${(hex.match(/.{4}/g) ?? []).join(":")}]`).hostname.slice(1, -1);
}
