/** What both processes of the control plane do around their work: configuration, API server, and an end in good order. */
import { createKubeClient } from "../kube/client.ts";
import { inClusterTransport } from "../kube/in-cluster.ts";
import type { KubeClient } from "../kube/types.ts";
import { type ControllerConfig, readConfig } from "./config/config.ts";
import type { Log } from "./config/log.ts";

export interface PodProcess {
  readonly client: KubeClient;
  readonly config: ControllerConfig;
  /** Aborted by SIGTERM and SIGINT: a start that is under way is given up. */
  readonly signal: AbortSignal;
}

/**
 * Starts, and stops on SIGTERM or SIGINT.
 * @param stopDeadlineMs less than the pod's grace period: what has not stopped by then is cut, with a line that says so
 * @throws ConfigError, and what `start` throws
 */
export async function runInPod(
  log: Log,
  stopDeadlineMs: number,
  start: (process: PodProcess) => Promise<{ stop(): Promise<void> }>,
): Promise<void> {
  const config = await readConfig();
  log.info("starting", { version: config.mesh.version, pod: config.podName, namespace: config.namespace });
  const stopping = new AbortController();
  const terminated = new Promise<void>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      process.once(name, () => {
        log.info("stopping", { signal: name });
        stopping.abort(new Error(`stopped by ${name}`));
        setTimeout(() => {
          log.error("not stopped in time", { seconds: stopDeadlineMs / 1000 });
          process.exit(1);
        }, stopDeadlineMs).unref();
        resolve();
      });
    }
  });
  const transport = inClusterTransport();
  try {
    const started = await start({ client: createKubeClient(transport), config, signal: stopping.signal });
    await terminated;
    await started.stop();
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    transport.close();
  }
  log.info("stopped");
}
