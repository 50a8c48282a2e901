/** The probes of one run of a container: startup first, then readiness and liveness (kubelet's prober). */
import { setTimeout as sleep } from "node:timers/promises";
import type { Probe } from "./pod-types.ts";
import { type ProbeTarget, runProbe } from "./probe.ts";

export interface ProberEvents {
  started(): void;
  ready(ready: boolean): void;
  /** Liveness or startup failed often enough: the container shall be ended. */
  dead(probe: Probe, message: string): void;
  /** A single failure. */
  failed(message: string): void;
}

const PERIOD_SECONDS = 10;

/** Probes until `signal` aborts. What has no probe is told at once: started, ready. */
export async function probeContainer(target: ProbeTarget, events: ProberEvents, signal: AbortSignal): Promise<void> {
  const { startupProbe, readinessProbe, livenessProbe } = target.container;
  if (startupProbe !== undefined) {
    let succeeded = false;
    await repeat("Startup", startupProbe, target, events, signal, (ok, message) => {
      if (ok) succeeded = true;
      else events.dead(startupProbe, message);
      return false;
    });
    if (!succeeded) return;
  }
  if (signal.aborted) return;
  events.started();
  if (readinessProbe === undefined) events.ready(true);
  await Promise.all([
    readinessProbe &&
      repeat("Readiness", readinessProbe, target, events, signal, (ok) => {
        events.ready(ok);
        return true;
      }),
    livenessProbe &&
      repeat("Liveness", livenessProbe, target, events, signal, (ok, message) => {
        if (!ok) events.dead(livenessProbe, message);
        return ok;
      }),
  ]);
}

/**
 * @param settled called each time a threshold is reached; false ends the probing
 */
async function repeat(
  kind: string,
  probe: Probe,
  target: ProbeTarget,
  events: ProberEvents,
  signal: AbortSignal,
  settled: (ok: boolean, message: string) => boolean,
): Promise<void> {
  const { initialDelaySeconds = 0, periodSeconds = PERIOD_SECONDS, successThreshold = 1, failureThreshold = 3 } = probe;
  let last: boolean | undefined;
  let streak = 0;
  await pause(initialDelaySeconds * 1000, signal);
  let next = performance.now();
  while (!signal.aborted) {
    const { ok, output } = await runProbe(probe, target, signal);
    if (signal.aborted) return;
    const message = `${kind} probe failed: ${output}`;
    if (!ok) events.failed(message);
    streak = ok === last ? streak + 1 : 1;
    last = ok;
    if (streak >= (ok ? successThreshold : failureThreshold) && !settled(ok, message)) return;
    // Ticks keep their pace whatever a probe takes.
    next = Math.max(next + periodSeconds * 1000, performance.now());
    await pause(next - performance.now(), signal);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => {});
}
