/** The base of every panel: a webview with typed messages both ways, which gets nothing before it said that it is ready. */
import { type Disposable, Uri, ViewColumn, type WebviewPanel, window } from "vscode";
import { panelHtml } from "./panel-html.ts";

export interface MessagePanelOptions<ToHost> {
  readonly viewType: string;
  /** Name of its script and style in dist/webviews. */
  readonly bundle: string;
  readonly title: string;
  readonly extensionUri: Uri;
  readonly icon: string;
  /** It is there, or there again after it was hidden: it knows nothing, send all. */
  readonly onReady: () => void;
  readonly onMessage: (message: ToHost) => void;
  readonly onClosed: () => void;
}

interface Typed {
  readonly type: string;
}

export class MessagePanel<ToView extends Typed, ToHost extends Typed> implements Disposable {
  readonly panel: WebviewPanel;
  #ready = false;
  #closed = false;

  constructor(options: MessagePanelOptions<ToHost>) {
    const folder = Uri.joinPath(options.extensionUri, "dist", "webviews");
    this.panel = window.createWebviewPanel(options.viewType, options.title, ViewColumn.Active, {
      enableScripts: true,
      localResourceRoots: [folder],
    });
    this.panel.iconPath = Uri.joinPath(options.extensionUri, "media", options.icon);
    const { webview } = this.panel;
    const file = (name: string): string => webview.asWebviewUri(Uri.joinPath(folder, name)).toString();
    webview.onDidReceiveMessage((message: unknown) => {
      if (!isTyped(message)) return;
      if (message.type === "ready") {
        this.#ready = true;
        options.onReady();
      } else options.onMessage(message as ToHost);
    });
    // A hidden panel's page is gone; it says ready again when it is back.
    this.panel.onDidChangeViewState(() => {
      if (!this.panel.visible) this.#ready = false;
    });
    this.panel.onDidDispose(() => {
      this.#closed = true;
      this.#ready = false;
      options.onClosed();
    });
    webview.html = panelHtml({
      title: options.title,
      cspSource: webview.cspSource,
      script: file(`${options.bundle}.js`),
      style: file(`${options.bundle}.css`),
    });
  }

  /** Whether messages arrive now. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Resolves when the page has it; false where there is no page to have it. */
  async post(message: ToView): Promise<boolean> {
    return this.#ready && (await this.panel.webview.postMessage(message));
  }

  dispose(): void {
    if (!this.#closed) this.panel.dispose();
  }
}

function isTyped(message: unknown): message is Typed {
  return typeof message === "object" && message !== null && typeof (message as { type?: unknown }).type === "string";
}
