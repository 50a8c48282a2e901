/** Tap: live requests of a service, a workload, a pod or a namespace. The command is the asking: it starts at once. */
import { type ExtensionContext, type QuickPickItem, QuickPickItemKind, window } from "vscode";
import type { TapQuery } from "../../runtime/mesh/types.ts";
import { readConfig } from "../config.ts";
import type { Weft } from "../container.ts";
import type { RowSubject } from "../views/row.ts";

const KINDS: Readonly<Record<RowSubject["kind"], TapQuery["kind"] | undefined>> = {
  Namespace: "namespaces",
  Service: "services",
  Deployment: "deployments",
  StatefulSet: "statefulsets",
  DaemonSet: "daemonsets",
  Pod: "pods",
  Identity: undefined,
};

interface SubjectItem extends QuickPickItem {
  readonly subject?: RowSubject;
}

export async function tapCommand(weft: Weft, context: ExtensionContext, row: unknown): Promise<void> {
  const session = weft.connection.requireSession();
  const subject = weft.subjectOf(row) ?? (await chooseSubject(weft));
  const kind = subject === undefined ? undefined : KINDS[subject.kind];
  if (subject === undefined || kind === undefined) return;
  const { tapMaxRps, tapRows } = readConfig();
  await weft.taps.open({
    session,
    query: { kind, namespace: subject.namespace, name: subject.name, maxRps: tapMaxRps },
    capacity: tapRows,
    extensionUri: context.extensionUri,
  });
}

/** Among the services that the view knows. */
async function chooseSubject(weft: Weft): Promise<RowSubject | undefined> {
  const items: SubjectItem[] = weft.services
    .knownServices()
    .flatMap(({ namespace, services }) => [
      { label: namespace, kind: QuickPickItemKind.Separator } as SubjectItem,
      ...services.map(
        (subject): SubjectItem => ({ label: `$(record) ${subject.name}`, description: namespace, subject }),
      ),
    ]);
  if (items.length === 0) {
    const name = await window.showInputBox({ title: "Tap", prompt: "A service, as namespace/name" });
    const [namespace, service] = name?.split("/") ?? [];
    return namespace && service ? { kind: "Service", namespace, name: service } : undefined;
  }
  const chosen = await window.showQuickPick(items, {
    title: "Tap",
    placeHolder: "A service whose live requests to show",
    matchOnDescription: true,
  });
  return chosen?.subject;
}
