/** Whether the demo shows what it should, asked through the code that the views use. */
import type { KubeClient } from "../../runtime/kube/types.ts";
import { DEMO_HTTP_SERVICES, DEMO_NAMESPACE, DEMO_TCP_SERVICES } from "../../runtime/mesh/demo-objects.ts";
import { getStats } from "../../runtime/mesh/stat.ts";
import { tap } from "../../runtime/mesh/tap.ts";
import type { TapRecord } from "../../runtime/mesh/types.ts";
import type { Stat, StatList } from "../../runtime/model/statistics.ts";

const WINDOW_MS = 60_000;
/** As many live requests prove that a tap works. */
const TAPPED = 3;

export interface DemoHealth {
  /** One line a shortcoming; empty: all is shown. */
  readonly missing: readonly string[];
  readonly services: StatList | undefined;
}

/** Figures and full mTLS of every service of the demo, over the last minute. */
export async function demoHealth(client: KubeClient, signal?: AbortSignal): Promise<DemoHealth> {
  let services: StatList;
  try {
    services = await getStats(client, { resource: "services", namespace: DEMO_NAMESPACE, windowMs: WINDOW_MS }, signal);
  } catch (error) {
    return { missing: [error instanceof Error ? error.message : String(error)], services: undefined };
  }
  const byName = new Map(services.items.map((stat) => [stat.name, stat]));
  const missing = [
    ...DEMO_HTTP_SERVICES.map((name) => shortcoming(name, byName.get(name), "http")),
    ...DEMO_TCP_SERVICES.map((name) => shortcoming(name, byName.get(name), "tcp")),
  ].filter((line) => line !== undefined);
  return { missing, services };
}

function shortcoming(name: string, stat: Stat | undefined, kind: "http" | "tcp"): string | undefined {
  if (stat === undefined) return `service ${name}: not listed`;
  if (stat[kind] === undefined) return `service ${name}: no ${kind} figures (${stat.noData ?? "no reason given"})`;
  if (stat.mtls.state !== "all") {
    const share = stat.mtls.share === undefined ? "" : `, ${(stat.mtls.share * 100).toFixed(1)} %`;
    return `service ${name}: mTLS is ${stat.mtls.state}${share}${stat.mtls.reason === undefined ? "" : `, ${stat.mtls.reason}`}`;
  }
  return undefined;
}

/** Taps the gateway until some whole requests have passed, or `signal` aborts. @returns what was seen */
export async function tapDemo(client: KubeClient, signal: AbortSignal): Promise<TapRecord[]> {
  const seen: TapRecord[] = [];
  const query = { namespace: DEMO_NAMESPACE, kind: "deployments", name: "gateway", maxRps: 100 } as const;
  for await (const record of tap(client, query, signal)) {
    if (record.status !== undefined) seen.push(record);
    if (seen.length >= TAPPED) break;
  }
  return seen;
}
