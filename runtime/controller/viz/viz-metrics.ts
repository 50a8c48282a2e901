/** What this process tells of itself on its admin port. */
import { type Counter, Metrics } from "../front/metrics.ts";
import type { Scraper } from "./history/scraper.ts";
import type { Topology } from "./topology.ts";

export interface VizMetricsSource {
  readonly scraper: () => Scraper | undefined;
  readonly topology: Topology;
  readonly taps: { readonly open: number };
}

export interface VizMetrics {
  readonly metrics: Metrics;
  /** Requests to the aggregated APIs, by `http` (the protocol's version) and `code`. */
  readonly requests: Counter;
}

export function vizMetrics({ scraper, topology, taps }: VizMetricsSource): VizMetrics {
  const metrics = new Metrics();
  const requests = metrics.counter("weft_viz_requests_total", "Answered requests to the aggregated APIs");
  const startTime = Date.now() / 1000 - process.uptime();
  metrics.gauge("process_start_time_seconds", "When this process began", () => startTime);
  metrics.gauge("process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());
  metrics.gauge("process_cpu_seconds", "CPU time used so far", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.gauge("weft_viz_pods", "Pods known in the cluster", () => topology.pods.store.size);
  metrics.gauge("weft_viz_scraping", "1 in the replica that scrapes", () => (scraper() === undefined ? 0 : 1));
  metrics.gauges("weft_viz_scrapes", "Scrapes since this replica scrapes", () => {
    const counts = scraper()?.counts;
    if (counts === undefined) return [];
    return [
      [{ result: "success" }, counts.succeeded],
      [{ result: "failure" }, counts.failed],
    ];
  });
  metrics.gauge("weft_viz_history_pods", "Pods of which there are figures", () => scraper()?.history.size);
  metrics.gauge("weft_viz_history_bytes", "Bytes of the pods' logs", () => {
    const history = scraper()?.history;
    if (history === undefined) return undefined;
    let bytes = 0;
    for (const pod of history.all()) bytes += pod.bytes;
    return bytes;
  });
  metrics.gauge("weft_viz_open_taps", "Taps under way", () => taps.open);
  return { metrics, requests };
}
