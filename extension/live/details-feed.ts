/**
 * The inside of the services of one namespace: which pods are behind them, the pods' figures, and who calls. Runs only
 * while somebody has a service of the namespace open. Knows no `vscode`.
 */
import { startInformer } from "../../runtime/kube/informer.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { Informer, KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { getEdges } from "../../runtime/mesh/edges.ts";
import { watchStats } from "../../runtime/mesh/stat.ts";
import { explain, oneText } from "../errors/explain.ts";
import type { NamespaceDetails } from "../views/service-rows.ts";
import { keepStreaming } from "./retry.ts";

const SERVICE_NAME = "kubernetes.io/service-name";

interface EndpointSlice extends KubeObject {
  endpoints?: readonly { readonly targetRef?: { readonly kind?: string; readonly name?: string } }[] | null;
}

/** Runs until `signal` aborts. */
export function feedDetails(
  client: KubeClient,
  query: { readonly namespace: string; readonly windowMs: number },
  signal: AbortSignal,
  onDetails: (details: NamespaceDetails) => void,
): void {
  let details: NamespaceDetails = {};
  const tell = (change: NamespaceDetails): void => {
    if (signal.aborted) return;
    details = { ...details, ...change };
    onDetails(details);
  };
  const problem = (error: unknown): void => tell({ problem: oneText(explain(error)) });

  followEndpoints(client, query.namespace, signal, tell, problem);
  void keepStreaming(
    async () => {
      for await (const list of watchStats(client, { ...query, resource: "pods" }, signal)) {
        const pods = new Map(list.items.map((stat) => [stat.name, stat]));
        // Callers and pods change with the same scrapes: one rhythm for both.
        const edges = await getEdges(client, query, signal);
        const { problem: _, ...rest } = details;
        details = rest;
        tell({ pods, edges: edges.items });
      }
    },
    signal,
    { onProblem: (found) => tell({ problem: oneText(found) }) },
  );
}

function followEndpoints(
  client: KubeClient,
  namespace: string,
  signal: AbortSignal,
  tell: (change: NamespaceDetails) => void,
  problem: (error: unknown) => void,
): void {
  let pending: NodeJS.Immediate | undefined;
  const informer: Informer<EndpointSlice> = startInformer<EndpointSlice>(client, resource.endpointSlices, {
    namespace,
    onError: problem,
  });
  // A burst of events is one look.
  const look = (): void => {
    pending ??= setImmediate(() => {
      pending = undefined;
      tell({ endpoints: podsByService(informer.store) });
    });
  };
  const unsubscribe = informer.subscribe(look);
  informer.synced.then(look, (error: unknown) => {
    if (!signal.aborted) problem(error);
  });
  signal.addEventListener(
    "abort",
    () => {
      unsubscribe();
      informer.stop();
      clearImmediate(pending);
    },
    { once: true },
  );
}

export function podsByService(slices: ReadonlyMap<string, EndpointSlice>): Map<string, string[]> {
  const pods = new Map<string, Set<string>>();
  for (const { metadata, endpoints } of slices.values()) {
    const service = metadata.labels?.[SERVICE_NAME];
    if (service === undefined) continue;
    const names = pods.get(service) ?? new Set<string>();
    pods.set(service, names);
    for (const { targetRef } of endpoints ?? [])
      if (targetRef?.kind === "Pod" && targetRef.name !== undefined) names.add(targetRef.name);
  }
  return new Map([...pods].map(([service, names]) => [service, [...names]]));
}
