/** Open Kubeconfig: the file, to read or mend. */
import { Uri, window } from "vscode";
import { KubeconfigError } from "../../runtime/kube/kubeconfig.ts";
import { configuredFiles } from "../cluster/kubeconfig.ts";

export async function showKubeconfig(): Promise<void> {
  const files = await configuredFiles();
  const file = files.length > 1 ? await window.showQuickPick(files, { title: "Open Kubeconfig" }) : files[0];
  if (file === undefined) return;
  try {
    await window.showTextDocument(Uri.file(file));
  } catch (cause) {
    throw new KubeconfigError(file, `${file} cannot be opened`, { cause });
  }
}
