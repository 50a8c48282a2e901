/** What a command on a namespace or a workload works on: a tree's row, or a choice. */
import { type QuickPickItem, QuickPickItemKind, window } from "vscode";
import { hasStatus } from "../../runtime/kube/errors.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, Resource } from "../../runtime/kube/types.ts";
import type { InjectTarget } from "../../runtime/mesh/types.ts";
import type { Session } from "../cluster/session.ts";
import type { RowSubject } from "../views/row.ts";

interface TargetItem extends QuickPickItem {
  readonly target?: InjectTarget;
}

const KINDS: readonly Resource[] = [resource.deployments, resource.statefulSets, resource.daemonSets];

export function asInjectTarget(subject: RowSubject | undefined): InjectTarget | undefined {
  if (subject === undefined) return undefined;
  const { kind, namespace, name } = subject;
  return kind === "Namespace" || kind === "Deployment" || kind === "StatefulSet" || kind === "DaemonSet"
    ? { kind, namespace, name }
    : undefined;
}

/** Two steps: a namespace, then all of it or one workload. @returns undefined where the user chose nothing */
export async function chooseInjectTarget(session: Session, title: string): Promise<InjectTarget | undefined> {
  const { client } = session;
  const namespace = await chooseNamespace(session, title);
  if (namespace === undefined) return undefined;
  const lists = await Promise.all(
    KINDS.map(async (kind) =>
      (await client.list(kind, { namespace })).items.map(({ metadata }) => ({ kind: kind.kind, name: metadata.name })),
    ),
  );
  const whole: TargetItem = {
    label: `$(symbol-namespace) ${namespace}`,
    description: "the whole namespace",
    target: { kind: "Namespace", namespace, name: namespace },
  };
  const workloads = lists.flat().map(
    ({ kind, name }): TargetItem => ({
      label: `$(server-process) ${name}`,
      description: kind,
      target: { kind: kind as "Deployment" | "StatefulSet" | "DaemonSet", namespace, name },
    }),
  );
  const separator: TargetItem = { label: "One workload", kind: QuickPickItemKind.Separator };
  const chosen = await window.showQuickPick([whole, separator, ...workloads], {
    title,
    placeHolder: `All of ${namespace}, or one workload`,
  });
  return chosen?.target;
}

async function chooseNamespace(session: Session, title: string): Promise<string | undefined> {
  const names = await namespaceNames(session.client);
  if (names === undefined)
    return await window.showInputBox({
      title,
      prompt: "Your rights do not reach to a list of namespaces: type one",
      value: session.context.namespace,
    });
  return await window.showQuickPick(names, { title, placeHolder: "Namespace" });
}

/** undefined: the user may not list them. */
async function namespaceNames(client: KubeClient): Promise<string[] | undefined> {
  try {
    return (await client.list(resource.namespaces)).items.map(({ metadata }) => metadata.name).sort();
  } catch (error) {
    if (hasStatus(error, 403)) return undefined;
    throw error;
  }
}
