/** What the demo's load agent has seen: it counts the outcome of every question it asks. */
import { readError } from "../../../runtime/kube/client.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient, KubeRequest } from "../../../runtime/kube/types.ts";
import { DEMO_NAMESPACE } from "../../../runtime/mesh/demo-objects.ts";
import type { Pod } from "../../../runtime/mesh/pods.ts";
import { eventually } from "./mesh.ts";

/** It reports every ten seconds. */
const REPORT_TIMEOUT_MS = 40_000;

/** Questions by outcome since the agent started: `ok`, a status ≥ 500, `no answer`, `held back`. */
export type Outcomes = Readonly<Record<string, number>>;

export interface LoadReport {
  readonly pod: string;
  readonly outcomes: Outcomes;
}

/** Its next report, so that what happened before the call is in it. */
export async function nextLoadReport(client: KubeClient): Promise<LoadReport> {
  const before = (await reports(client)).lines.length;
  return await eventually("a report of the load agent", REPORT_TIMEOUT_MS, async () => {
    const { pod, lines } = await reports(client);
    // Two of them: the first may have been on its way already.
    const last = lines.length >= before + 2 ? lines.at(-1) : undefined;
    return last === undefined ? undefined : { pod, outcomes: JSON.parse(last) as Outcomes };
  });
}

/** What came between two reports of the same pod. @throws Error where the pod is another one */
export function outcomesBetween(before: LoadReport, after: LoadReport): Outcomes {
  if (before.pod !== after.pod) throw new Error(`the load agent itself was replaced: ${before.pod}, ${after.pod}`);
  const names = new Set([...Object.keys(before.outcomes), ...Object.keys(after.outcomes)]);
  const differences = [...names].map(
    (name) => [name, (after.outcomes[name] ?? 0) - (before.outcomes[name] ?? 0)] as const,
  );
  return Object.fromEntries(differences.filter(([, count]) => count !== 0));
}

/** The last lines of its log, for a test's message. */
export async function loadLog(client: KubeClient): Promise<string> {
  return (await log(client, (await loadPod(client)).metadata.name)).split("\n").slice(-40).join("\n");
}

async function reports(client: KubeClient): Promise<{ pod: string; lines: string[] }> {
  const { metadata } = await loadPod(client);
  const lines = (await log(client, metadata.name)).split("\n").flatMap((line) => {
    const found = /^load: (\{.*\})$/.exec(line);
    return found?.[1] === undefined ? [] : [found[1]];
  });
  return { pod: metadata.name, lines };
}

async function loadPod(client: KubeClient): Promise<Pod> {
  const { items } = await client.list<Pod>(resource.pods, { namespace: DEMO_NAMESPACE, labelSelector: "app=load" });
  const [pod, ...others] = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  if (pod === undefined || others.length > 0) throw new Error(`${items.length} load agents, not one`);
  return pod;
}

async function log(client: KubeClient, pod: string): Promise<string> {
  const request: KubeRequest = {
    method: "GET",
    path: `/api/v1/namespaces/${DEMO_NAMESPACE}/pods/${pod}/log`,
    query: { container: "agent" },
  };
  const stream = await client.transport.open(request);
  if (stream.status >= 400) throw await readError(request, stream);
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
