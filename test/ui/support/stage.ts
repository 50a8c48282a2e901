/** What every UI test needs: a cluster, a workspace, a real VS Code with the VSIX in it, a browser on it. */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Browser } from "playwright-core";
import { createKubeClient } from "../../../runtime/kube/client.ts";
import { kubeconfigTransport } from "../../../runtime/kube/kubeconfig-transport.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";
import { applyRemoveDemo, planRemoveDemo } from "../../../runtime/mesh/demo.ts";
import { detectMesh } from "../../../runtime/mesh/detect.ts";
import { applyUninstall, planUninstall } from "../../../runtime/mesh/uninstall.ts";
import { installCodeServer } from "../../../scripts/support/code-server.ts";
import { type RunningCodeServer, startCodeServer } from "../../../scripts/support/code-server-process.ts";
import { launchBrowser } from "./browser.ts";
import { VsCodeWindow } from "./vscode-window.ts";
import { makeWorkspace, type Workspace } from "./workspace.ts";

const root = resolve(import.meta.dirname, "../../..");
export const screenshots = join(root, "test/ui/screenshots");

export interface Stage {
  readonly client: KubeClient;
  readonly workspace: Workspace;
  readonly window: VsCodeWindow;
  readonly nodeImage: string;
  screenshot(name: string): Promise<void>;
  /** Colours of the window from now on. */
  theme(name: "Default Dark Modern" | "Default Light Modern" | "Default High Contrast"): Promise<void>;
  close(): Promise<void>;
}

/** With nothing of Weft on the cluster. @throws where the environment names no VSIX: scripts/test-ui.ts makes one */
export async function setStage(): Promise<Stage> {
  const vsix = process.env["WEFT_TEST_VSIX"];
  if (vsix === undefined) throw new Error("WEFT_TEST_VSIX names no .vsix: run npm run test:ui");
  const nodeImage = process.env["WEFT_TEST_NODE_IMAGE"] ?? "";
  const initImage = process.env["WEFT_TEST_INIT_IMAGE"] ?? "";
  mkdirSync(screenshots, { recursive: true });
  const workspace = await makeWorkspace();
  const transport = kubeconfigTransport(workspace.context);
  const client = createKubeClient(transport);
  let server: RunningCodeServer | undefined;
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    await browser?.close();
    await server?.close();
    transport.close();
    await workspace.remove();
  };
  try {
    await clear(client);
    const settings = {
      "weft.kubeconfig": workspace.kubeconfig,
      "weft.images.node": nodeImage,
      "weft.images.init": initImage,
    };
    server = await startCodeServer({
      server: await installCodeServer({ log: console.log }),
      vsix,
      settings,
      env: { KUBECONFIG: "" },
    });
    browser = await launchBrowser();
    const { writeSettings } = server;
    const window = await VsCodeWindow.open({ browser, url: server.url, folder: workspace.folder });
    return {
      client,
      workspace,
      window,
      nodeImage: nodeImage === "" ? "docker.io/library/node:24-slim" : nodeImage,
      screenshot: (name) => window.screenshot(join(screenshots, `${name}.png`)),
      theme: async (name) => {
        writeSettings({ ...settings, "workbench.colorTheme": name });
        const kind = {
          "Default Dark Modern": "vs-dark",
          "Default Light Modern": "vs",
          "Default High Contrast": "hc-black",
        };
        await window.page.locator(`.monaco-workbench.${kind[name]}`).waitFor();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Takes away what an earlier run left. */
export async function clear(client: KubeClient): Promise<void> {
  await applyRemoveDemo(client, await planRemoveDemo(client));
  const mesh = await detectMesh(client);
  if (mesh.kind === "installed")
    await applyUninstall(client, await planUninstall(client, { namespace: mesh.namespace }));
}
