/** Choose Cluster: the contexts of the kubeconfig. Reads files; the cluster is contacted only after the choice. */
import { type QuickPickItem, QuickPickItemKind, window } from "vscode";
import { type ContextChoice, listContexts } from "../../runtime/kube/contexts.ts";
import { KubeconfigError } from "../../runtime/kube/kubeconfig.ts";
import { configuredFiles, readKubeconfig } from "../cluster/kubeconfig.ts";
import { contextOf } from "../cluster/state.ts";
import type { Weft } from "../container.ts";

interface ContextItem extends QuickPickItem {
  readonly context?: string;
}

export async function chooseCluster(weft: Weft): Promise<void> {
  const kubeconfig = await readKubeconfig();
  for (const problem of kubeconfig.problems) weft.log.warn(problem.message);
  const choices = listContexts(kubeconfig);
  if (choices.length === 0) {
    const [problem] = kubeconfig.problems;
    if (problem !== undefined) throw problem;
    const files = (await configuredFiles()).join(", ");
    throw new KubeconfigError(files, `there is no context in ${files}`);
  }
  const chosen = await window.showQuickPick(itemsOf(choices, contextOf(weft.connection.state)), {
    title: "Choose Cluster",
    placeHolder: brokenFiles(kubeconfig.problems) ?? "A context of your kubeconfig; it is only read, never changed",
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (chosen?.context === undefined) return;
  await weft.connection.connect(chosen.context, "it was chosen");
}

function itemsOf(choices: readonly ContextChoice[], chosen: string | undefined): ContextItem[] {
  const usable = choices.filter(({ problem }) => problem === undefined);
  const broken = choices.filter(({ problem }) => problem !== undefined);
  const several = new Set(choices.map(({ file }) => file)).size > 1;
  return [
    ...usable.map((choice): ContextItem => {
      const marks = [choice.name === chosen ? "connected" : "", choice.current ? "kubectl's current" : ""];
      return {
        label: `$(server-environment) ${choice.name}`,
        description: marks.filter(Boolean).join(", "),
        detail: [
          choice.server,
          `namespace ${choice.namespace}`,
          `user ${choice.user}`,
          ...(several ? [choice.file] : []),
        ]
          .filter(Boolean)
          .join(" · "),
        context: choice.name,
      };
    }),
    ...(broken.length === 0 ? [] : [{ label: "Not usable", kind: QuickPickItemKind.Separator }]),
    ...broken.map(
      (choice): ContextItem => ({
        label: `$(error) ${choice.name}`,
        description: choice.problem ?? "",
        detail: choice.file,
        context: choice.name,
      }),
    ),
  ];
}

function brokenFiles(problems: readonly KubeconfigError[]): string | undefined {
  return problems.length === 0 ? undefined : `Not read: ${problems.map(({ message }) => message).join("; ")}`;
}
