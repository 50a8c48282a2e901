/** The window of a real VS Code as a person sees it: views, rows, palette, dialogs, notifications, panels. */
import type { Browser, Frame, Locator, Page } from "playwright-core";

const PATIENCE_MS = 30_000;

export interface OpenOptions {
  readonly browser: Browser;
  /** Of a code-server. */
  readonly url: string;
  readonly folder: string;
  readonly size?: { readonly width: number; readonly height: number };
}

export class VsCodeWindow {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(PATIENCE_MS);
  }

  static async open({ browser, url, folder, size = { width: 1440, height: 860 } }: OpenOptions): Promise<VsCodeWindow> {
    const context = await browser.newContext({
      viewport: size,
      permissions: ["clipboard-read", "clipboard-write"],
      // Half of the requests a workbench makes are for these; their absence is not what is tested.
      serviceWorkers: "allow",
    });
    const window = new VsCodeWindow(await context.newPage());
    await window.page.goto(`${url}/?folder=${encodeURIComponent(folder)}`);
    await window.page.locator(".activitybar").waitFor({ timeout: 2 * PATIENCE_MS });
    return window;
  }

  /** Opens the side bar's container of that title, if it is not open. */
  async openContainer(title: string): Promise<void> {
    const tab = this.page.locator(`.activitybar .action-item:has([aria-label^="${title}"])`).first();
    await tab.waitFor();
    if (!((await tab.getAttribute("class")) ?? "").includes("checked")) await tab.click();
    await this.page.locator(".sidebar .pane-header").first().waitFor();
  }

  /** A view's pane by its title, opened if it is folded. */
  async pane(title: string): Promise<Locator> {
    const pane = this.page.locator(".sidebar .pane", {
      has: this.page.locator(".pane-header h3.title", { hasText: title }),
    });
    await pane.waitFor();
    const header = pane.locator(".pane-header");
    if ((await header.getAttribute("aria-expanded")) === "false") await header.click();
    return pane;
  }

  /** Folds all views but this one: a list has only its rows in sight as elements. */
  async onlyPane(title: string): Promise<void> {
    const titles = await this.page.locator(".sidebar .pane-header h3.title").allTextContents();
    for (const other of titles) {
      const header = this.page.locator(".sidebar .pane-header", { has: this.page.getByText(other, { exact: true }) });
      if (other !== title && (await header.getAttribute("aria-expanded")) === "true")
        await header.click({ position: { x: 8, y: 8 } });
    }
    await this.pane(title);
  }

  /** Rows of a view that show `text`. */
  async rows(pane: string, text: string | RegExp = ""): Promise<Locator> {
    return (await this.pane(pane)).locator(".monaco-list-row", { hasText: text });
  }

  /** A command by its title, through the palette, as a person calls it. */
  async command(title: string): Promise<void> {
    await this.page.keyboard.press("F1");
    const input = this.page.locator(".quick-input-widget input").first();
    await input.fill(`>Weft: ${title}`);
    await this.page
      .locator(".quick-input-widget .monaco-list-row", { hasText: `Weft: ${title}` })
      .first()
      .click();
  }

  /** Takes a row of an open quick pick. */
  async pick(text: string | RegExp): Promise<void> {
    await this.page.locator(".quick-input-widget .monaco-list-row", { hasText: text }).first().click();
  }

  quickPickRows(): Locator {
    return this.page.locator(".quick-input-widget .monaco-list-row");
  }

  /** The question that stops everything else. */
  modal(): Locator {
    return this.page.locator(".monaco-dialog-box");
  }

  async answerModal(button: string): Promise<void> {
    const modal = this.modal();
    await modal.waitFor();
    await modal.getByRole("button", { name: button, exact: true }).click();
    await modal.waitFor({ state: "hidden" });
  }

  /** A notification that shows `text`. */
  notification(text: string | RegExp): Locator {
    return this.page.locator(".notification-toast", { hasText: text });
  }

  async dismissNotifications(): Promise<void> {
    await this.page.keyboard.press("F1");
    await this.page.locator(".quick-input-widget input").first().fill(">Notifications: Clear All Notifications");
    await this.page.locator(".quick-input-widget .monaco-list-row").first().click();
    await this.page.locator(".notification-toast").first().waitFor({ state: "hidden" });
  }

  /** Drags the side bar's edge. */
  async widenSideBar(width: number): Promise<void> {
    const box = await this.page.locator(".part.sidebar").boundingBox();
    if (box === null) throw new Error("the side bar is closed");
    await this.page.mouse.move(box.x + box.width, 300);
    await this.page.mouse.down();
    await this.page.mouse.move(box.x + width, 300, { steps: 5 });
    await this.page.mouse.up();
  }

  async closeEditors(): Promise<void> {
    await this.page.keyboard.press("F1");
    await this.page.locator(".quick-input-widget input").first().fill(">View: Close All Editors");
    await this.page.locator(".quick-input-widget .monaco-list-row").first().click();
  }

  /** The page inside the panel that holds `selector`: found by content, there may be several. */
  async webview(selector: string): Promise<Frame> {
    const until = Date.now() + PATIENCE_MS;
    while (Date.now() < until) {
      for (const frame of this.page.frames()) {
        if (!/webview/.test(frame.url())) continue;
        if (
          (await frame
            .locator(selector)
            .count()
            .catch(() => 0)) > 0
        )
          return frame;
      }
      await this.page.waitForTimeout(200);
    }
    throw new Error(`no panel shows ${selector}`);
  }

  async screenshot(path: string): Promise<void> {
    // The pointer leaves no hover and no focus ring that belongs to the test only.
    await this.page.mouse.move(720, 850);
    await this.page.waitForTimeout(400);
    await this.page.screenshot({ path });
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}
