/** POST /apis/tap.linkerd.io/v1alpha1/watch/namespaces/<ns>/[<resource>/<name>/]tap: live requests (reference 8.5). */
import { type IdentityScope, workloadIdentity } from "../../model/identity.ts";
import { port } from "../../model/ports.ts";
import { TAP_GROUP, TAP_VERSION } from "../../model/statistics.ts";
import type { Log } from "../config/log.ts";
import type { Access } from "../viz/access.ts";
import type { Exchange } from "../viz/exchange.ts";
import type { OwnIdentity } from "../viz/own-identity.ts";
import { type PodView, podKey } from "../viz/pod-view.ts";
import { StatusError } from "../viz/status.ts";
import type { Topology } from "../viz/topology.ts";
import { observeMatch } from "./observe-match.ts";
import { PodTap, type PodTapOptions } from "./pod-tap.ts";
import { tapEvent } from "./tap-event.ts";
import { parseTapBody, parseTapPath, type TapRequest } from "./tap-request.ts";
import { frame, TapSink } from "./tap-sink.ts";
import { TapTargets } from "./tap-targets.ts";

export interface TapHandlerOptions {
  readonly access: Access;
  readonly topology: Topology;
  readonly scope: IdentityScope;
  readonly identity: Pick<OwnIdentity, "leaf">;
  /** Control-plane namespace. */
  readonly mesh: string;
  /** Counts taps under way. */
  readonly taps: { open: number };
  readonly log: Log;
  /** Where proxies are tapped; default 4190. */
  readonly proxyPort?: number;
}

const MAX_BODY_BYTES = 64 * 1024;
/** Each has a TLS connection of its own; a sample of so many tells as much. */
const MAX_PODS = 250;

export async function handleTap(
  options: TapHandlerOptions,
  exchange: Exchange,
  segments: readonly string[],
): Promise<void> {
  try {
    const request = await admit(options, exchange, segments);
    await run(options, exchange, request);
  } catch (error) {
    if (!(error instanceof StatusError) || exchange.answered || /\bapplication\/json\b/.test(exchange.accept)) {
      throw error;
    }
    refuseLikeLinkerd(exchange, error);
  }
}

async function admit(options: TapHandlerOptions, exchange: Exchange, segments: readonly string[]): Promise<TapRequest> {
  const target = parseTapPath(segments);
  if (exchange.method !== "POST") {
    throw new StatusError("MethodNotAllowed", `${exchange.method} is not supported here, only POST`);
  }
  const { peer } = exchange;
  if (peer.kind !== "user") {
    const reason = peer.kind === "anonymous" ? peer.reason : "taps are not passed on between replicas";
    throw new StatusError("Unauthorized", `who is asking? ${reason}`);
  }
  await options.access.require(peer.user, {
    verb: "watch",
    group: TAP_GROUP,
    version: TAP_VERSION,
    resource: target.resource,
    subresource: "tap",
    namespace: target.namespace,
    name: target.name,
  });
  const request = parseTapBody(target, await exchange.readBody(MAX_BODY_BYTES));
  options.log.info("tap", {
    user: peer.user.name,
    namespace: target.namespace,
    of: `${target.resource}/${target.name}`,
  });
  return request;
}

async function run(options: TapHandlerOptions, exchange: Exchange, request: TapRequest): Promise<void> {
  const { topology, scope, mesh, identity, taps, proxyPort = port.control } = options;
  const { query, maxRps } = request;
  const targets = new TapTargets(topology, request.target, mesh, query.target?.labelSelector ?? "");
  const observe: PodTapOptions["request"] = {
    match: observeMatch(query.match),
    extract:
      query.extract?.extract?.value.extract === undefined
        ? undefined
        : { extract: { $case: "http", value: { extract: { $case: "headers", value: {} } } } },
  };
  targets.check();
  try {
    void identity.leaf;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StatusError("ServiceUnavailable", reason, { cause });
  }

  exchange.head(200, { "content-type": "application/octet-stream" });
  const sink = new TapSink(exchange);
  const pods = new Map<string, PodTap>();
  /** Pods among which the rate is shared; known before the first of them is observed. */
  let sharers = 1;
  const start = (pod: PodView): PodTap => {
    const podIdentity = workloadIdentity(scope, pod.metadata.namespace ?? "", pod.serviceAccount);
    return new PodTap({
      address: `${pod.ip?.includes(":") ? `[${pod.ip}]` : pod.ip}:${proxyPort}`,
      identity: podIdentity,
      context: () => identity.leaf.context,
      request: observe,
      rate: () => maxRps / sharers,
      onEvent: (event) => sink.send(tapEvent(event, (ip) => topology.podByIp(ip), podIdentity)),
      onTrouble: (reason) => sink.notice(`${podKey(pod)} cannot be tapped: ${reason}`),
    });
  };
  const follow = (): void => {
    const all = targets.tappable();
    // Those that are observed stay so.
    const chosen = all.sort((a, b) => Number(pods.has(tapKey(b))) - Number(pods.has(tapKey(a)))).slice(0, MAX_PODS);
    if (all.length > MAX_PODS && pods.size === 0) sink.notice(`${MAX_PODS} of ${all.length} pods are tapped`);
    const wanted = new Map(chosen.map((pod) => [tapKey(pod), pod]));
    sharers = Math.max(1, wanted.size);
    for (const [key, tap] of pods) {
      if (wanted.has(key)) continue;
      tap.stop();
      pods.delete(key);
    }
    for (const [key, pod] of wanted) if (!pods.has(key)) pods.set(key, start(pod));
  };
  const unsubscribe = topology.onChange(follow);
  taps.open++;
  try {
    follow();
    if (pods.size === 0) sink.notice("there is no pod yet; the tap waits for one");
    await new Promise<void>((resolve) => {
      if (exchange.signal.aborted) resolve();
      else exchange.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    taps.open--;
    unsubscribe();
    for (const tap of pods.values()) tap.stop();
  }
}

/** A pod of the same name may be another one, at another address. */
function tapKey(pod: PodView): string {
  return `${podKey(pod)} ${pod.metadata.uid} ${pod.ip}`;
}

/** Linkerd's clients read the reason from a framed linkerd2.viz.ApiError: field 1 is the text. */
function refuseLikeLinkerd(exchange: Exchange, error: StatusError): void {
  const text = Buffer.from(error.message);
  const length: number[] = [];
  for (let rest = text.length; ; rest = Math.floor(rest / 128)) {
    length.push(rest < 128 ? rest : (rest % 128) + 128);
    if (rest < 128) break;
  }
  const apiError = Buffer.concat([Buffer.from([0x0a, ...length]), text]);
  exchange.send(error.code, "application/octet-stream", frame(apiError), { "linkerd-error": error.reason });
}
