/** Tracing as configured (reference 4.3): a tracer whose spans go to the collector. */
import type { ControlClient } from "../control/client.ts";
import type { Logger } from "../log.ts";
import type { Reading } from "../metrics/registry.ts";
import { PROXY_VERSION } from "../version.ts";
import { SpanExporter } from "./exporter.ts";
import { type ResourceTexts, resourceAttributes } from "./resource.ts";
import { Tracer } from "./tracer.ts";

export interface Tracing {
  readonly tracer: Tracer;
  readings(): Reading[];
  /** Sends what waits, for at most a second. */
  flush(): Promise<void>;
  close(): void;
}

const FLUSH_WITHIN_MS = 1_000;

export function startTracing(options: {
  readonly client: ControlClient;
  readonly resource: ResourceTexts;
  readonly log: Logger;
}): Tracing {
  const { client, log } = options;
  const resource = resourceAttributes(options.resource, (error) =>
    log.warn("LINKERD2_PROXY_TRACE_ATTRIBUTES_PATH cannot be read: spans go without the pod's labels", error),
  );
  const exporter = new SpanExporter({ client, resource, log, version: PROXY_VERSION });
  return {
    tracer: new Tracer(exporter),
    readings: () => exporter.readings(),
    flush: () => within(exporter.flush(), FLUSH_WITHIN_MS),
    close: () => exporter.close(),
  };
}

async function within(work: Promise<void>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
