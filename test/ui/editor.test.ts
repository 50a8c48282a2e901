/**
 * The first mile in the editor, as a person goes it: a real browser on a real VS Code with the packaged extension, against
 * the cluster that KUBECONFIG names. The steps build on each other: after one that failed the others do not run.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Locator } from "playwright-core";
import { resource } from "../../runtime/kube/resources.ts";
import { scaleUnmeshedClient } from "../../runtime/mesh/demo.ts";
import { DEMO_HTTP_SERVICES, DEMO_TCP_SERVICES } from "../../runtime/mesh/demo-objects.ts";
import { planUninstall } from "../../runtime/mesh/uninstall.ts";
import { makeUser } from "./support/limited-user.ts";
import { closeShop, openShop, RESTRICTED, SECRET, SHOP } from "./support/shop.ts";
import { clear, type Stage, setStage } from "./support/stage.ts";
import { waitFor, waitForLabel, waitForText } from "./support/wait.ts";

const INSTALL_MS = 240_000;
const FIGURES_MS = 120_000;
const HTTP_ROW = /\d+(\.\d)?% · [<\d.k]+\/s · [<\d]+\/[<\d]+\/[<\d]+ms/;

describe("Weft in VS Code", () => {
  let stage: Stage;
  let failed: string | undefined;

  before(async () => {
    stage = await setStage();
  });

  after(async () => {
    try {
      await closeShop(stage.client);
      await clear(stage.client);
    } finally {
      await stage.close();
    }
  });

  function step(name: string, run: () => Promise<void>): void {
    it(name, async () => {
      if (failed !== undefined) throw new Error(`not run: "${failed}" failed before`);
      try {
        await run();
      } catch (error) {
        failed = name;
        await stage.screenshot(`failed-${name.replace(/\W+/g, "-").slice(0, 40)}`).catch(() => undefined);
        throw error;
      }
    });
  }

  step("says what to do before a cluster is chosen, and contacts none", async () => {
    const { window, workspace } = stage;
    await window.openContainer("Weft");
    const pane = await window.pane("Services");
    await pane.getByRole("button", { name: "Connect", exact: true }).waitFor();
    assert.match((await pane.textContent()) ?? "", new RegExp(workspace.context.name));
    await sleep(2_000);
    assert.equal(workspace.relay.connections(), 0);
    await stage.screenshot("welcome-dark");
  });

  step("lists the contexts of the kubeconfig; a torn one says why it cannot be used", async () => {
    const { window, workspace } = stage;
    await window.command("Choose Cluster");
    await window.quickPickRows().filter({ hasText: workspace.context.name }).first().waitFor();
    const torn = await window.quickPickRows().filter({ hasText: "torn" }).first().textContent();
    assert.match(torn ?? "", /cluster "missing" is not defined/);
    await stage.screenshot("choose-cluster-dark");
    await window.page.keyboard.press("Escape");
    assert.equal(workspace.relay.connections(), 0);
  });

  step(
    "a cluster that cannot be reached, and credentials that do not count, are one message with the next step",
    async () => {
      const { window } = stage;
      await window.command("Choose Cluster");
      await window.pick("nowhere");
      const refused = window.notification(/127\.0\.0\.1:9/);
      await refused.waitFor();
      await refused.getByRole("button", { name: "Try Again" }).waitFor();
      assert.equal(await window.page.locator(".notification-toast").count(), 1);
      await stage.screenshot("unreachable-dark");
      await window.dismissNotifications();
      await window.command("Choose Cluster");
      await window.pick("stranger");
      await window.notification(/credentials/).waitFor();
      await (await window.pane("Services")).getByText("does not accept your credentials").waitFor();
      await window.dismissNotifications();
    },
  );

  step("connects to the chosen cluster, which has no mesh", async () => {
    const { window, workspace } = stage;
    await window.command("Choose Cluster");
    await window.pick(new RegExp(`^\\W*${workspace.context.name}`));
    await (await window.pane("Services")).getByRole("button", { name: "Install Mesh" }).waitFor();
    assert.ok(workspace.relay.connections() > 0);
    await stage.screenshot("no-mesh-dark");
  });

  step("Install Mesh shows the plan and asks once, naming the context", async () => {
    const { window, workspace } = stage;
    await (await window.pane("Services")).getByRole("button", { name: "Install Mesh" }).click();
    await window.modal().waitFor({ timeout: 60_000 });
    const question = (await window.modal().textContent()) ?? "";
    assert.match(question, new RegExp(`Install Weft on "${workspace.context.name}"\\?`));
    const plan = await window.webview(".group");
    const text = (await plan.locator("body").textContent()) ?? "";
    for (const expected of [
      "weft-controller",
      "weft-proxy-injector",
      "v1alpha1.tap.linkerd.io",
      "linkerd-identity-issuer",
    ])
      assert.ok(text.includes(expected), `the plan shows ${expected}`);
    assert.match(text, /Made by the controller, in the cluster/);
    assert.equal(await stage.client.find(resource.namespaces, "weft"), undefined);
    await stage.screenshot("install-plan-dark");
  });

  step("applies with progress, waits until ready, ends with checks", async () => {
    const { window } = stage;
    await window.answerModal("Install");
    await window.notification(/Installing Weft/).waitFor();
    await stage.screenshot("install-progress-dark");
    await window.notification(/Weft runs on/).waitFor({ timeout: INSTALL_MS });
    const plan = await window.webview(".group");
    assert.equal(await plan.locator(".mark[data-state=failed]").count(), 0);
    assert.ok((await plan.locator(".mark[data-state=done]").count()) > 10);
    const checks = await window.pane("Checks");
    await checks
      .getByText(/\d+ passed/)
      .first()
      .waitFor();
    assert.doesNotMatch((await checks.textContent()) ?? "", /\d+ failed/);
    await stage.screenshot("installed-dark");
    await window.dismissNotifications();
  });

  step("a second run changes nothing", async () => {
    const { window } = stage;
    await window.command("Install Mesh");
    await window.notification(/is up to date: nothing to change/).waitFor({ timeout: 60_000 });
    assert.equal(await window.modal().count(), 0);
    await window.dismissNotifications();
    await window.closeEditors();
  });

  step("installs the demo", async () => {
    const { window } = stage;
    await window.command("Install Demo");
    await window.answerModal("Install Demo");
    await window.notification(/demo runs in namespace weft-demo/).waitFor({ timeout: INSTALL_MS });
    await window.dismissNotifications();
  });

  step("Services shows success rate, requests per second, latencies and mTLS of every service, live", async () => {
    const { window } = stage;
    await window.widenSideBar(420);
    for (const name of DEMO_HTTP_SERVICES) {
      const row = (await window.rows("Services", new RegExp(`^${name}`))).first();
      await waitForText(row, HTTP_ROW, FIGURES_MS);
      await waitForLabel(row, /all traffic by mutual TLS/, FIGURES_MS);
    }
    for (const name of DEMO_TCP_SERVICES)
      await waitForText(
        (await window.rows("Services", new RegExp(`^${name}`))).first(),
        /\d+ open · .+\/s in/,
        FIGURES_MS,
      );
    await (await window.pane("Services")).getByText(/last 1m, scraped by the mesh since/).waitFor();
    const gateway = (await window.rows("Services", /^gateway/)).first();
    const before = await gateway.textContent();
    await waitFor("the figures of gateway change", 60_000, async () => (await gateway.textContent()) !== before);
    await waitFor("search-tool shows that some requests fail", FIGURES_MS, async () =>
      /^search-tool(?!100%)/.test((await (await window.rows("Services", /^search-tool/)).first().textContent()) ?? ""),
    );
  });

  step("an open service shows its pods and who calls it, with both identities", async () => {
    const { window } = stage;
    await (await window.rows("Services", /^planner/)).first().click();
    await (await window.rows("Services", /^planner-\w+-\w+/)).nth(1).waitFor({ timeout: 60_000 });
    await (await window.rows("Services", /^Called by1 in the last 1m/)).first().waitFor({ timeout: 60_000 });
    await (await window.rows("Services", /^gateway/)).nth(1).waitFor();
    for (const side of ["Client", "Server"])
      await (
        await window.rows(
          "Services",
          new RegExp(`^${side}.*\\.weft-demo\\.serviceaccount\\.identity\\.weft\\.cluster\\.local`),
        )
      )
        .first()
        .waitFor();
    await stage.screenshot("services-dark");
  });

  step("an unmeshed client makes a service's mTLS partial, with its percentage", async () => {
    const { window, client } = stage;
    await scaleUnmeshedClient(client, 1);
    const gateway = (await window.rows("Services", /^gateway/)).first();
    await waitForText(gateway, /mTLS \d+(\.\d)?%/, FIGURES_MS);
    await waitForLabel(gateway, /\d+(\.\d)?% of traffic by mutual TLS/, 10_000);
    await scaleUnmeshedClient(client, 0);
  });

  step("Tap opens the panel and streams live requests; filter, pause and clear work", async () => {
    const { window } = stage;
    const row = (await window.rows("Services", /^gateway/)).first();
    await row.hover();
    await row.getByRole("button", { name: "Tap" }).click();
    const tap = await window.webview(".rows");
    const shown = tap.locator(".rows .row:not([hidden])");
    await waitFor("requests are shown", 60_000, async () => (await shown.count()) > 10);
    // A probe of the kubelet's is tapped as well; it comes without TLS.
    const asked = (await shown.allTextContents()).filter((text) => !text.includes("GET/healthz"));
    assert.match(asked[0] ?? "", /^\d\d:\d\d:\d\d\.\d{3}.*(GET|POST)\/\w+200\d+.* msyes$/);
    await shown.nth(3).click();
    await tap.locator(".details h2").waitFor();
    await stage.screenshot("tap-dark");
    await window.page.keyboard.press("Escape");
    await tap.locator(".details").waitFor({ state: "hidden" });

    await tap.locator(".filter").fill("to:planner -nothing");
    await waitFor("only requests to the planner are shown", 20_000, async () => {
      const texts = await shown.locator(".cell.to").allTextContents();
      return texts.length > 0 && texts.every((text) => text.includes("planner"));
    });
    await tap.locator(".filter").fill("status:599");
    await tap.getByText("No request passes the filter.").waitFor();
    await tap.locator(".filter").fill("");

    await tap.getByRole("button", { name: "Pause" }).click();
    const still = await tap.locator("footer span").first().textContent();
    await tap.getByRole("button", { name: /Resume \(\d+ new\)/ }).waitFor();
    assert.equal(await shown.last().textContent(), await shown.last().textContent());
    await sleep(1_500);
    const later = await tap.locator("footer span").first().textContent();
    assert.equal(Number(/^\d+ of|^(\d+)/.exec(still ?? "")?.[0].split(" ")[0]) > 0, true);
    assert.equal(shownCount(later), shownCount(still));
    await tap.getByRole("button", { name: /Resume/ }).click();
    await waitFor(
      "the list goes on",
      20_000,
      async () => shownCount(await tap.locator("footer span").first().textContent()) > shownCount(still),
    );

    await tap.getByRole("button", { name: "Stop" }).click();
    await tap.locator(".state", { hasText: "Stopped" }).waitFor();
    await tap.getByRole("button", { name: "Clear" }).click();
    await waitFor("the list is empty", 10_000, async () => (await shown.count()) === 0);
    await tap.getByRole("button", { name: "Start" }).click();
    await waitFor("requests are shown again", 60_000, async () => (await shown.count()) > 3);
  });

  step("the same in light colours and in high contrast", async () => {
    const { window } = stage;
    await stage.theme("Default Light Modern");
    await sleep(2_000);
    await stage.screenshot("tap-light");
    await stage.theme("Default High Contrast");
    await sleep(2_000);
    await stage.screenshot("tap-high-contrast");
    await window.closeEditors();
    await stage.theme("Default Light Modern");
    await sleep(1_000);
    await stage.screenshot("services-light");
    await stage.theme("Default Dark Modern");
  });

  step("Inject lists what restarts, asks, and waits until the workload is meshed", async () => {
    const { window, client, nodeImage } = stage;
    await openShop(client, nodeImage);
    await window.onlyPane("Workloads");
    const row = async (): Promise<Locator> => (await window.rows("Workloads", /^web/)).first();
    const namespace = (await window.rows("Workloads", new RegExp(`^${SHOP}`))).first();
    await waitForText(namespace, /0 of 1 meshed/, 60_000);
    await waitForText(await row(), /0\/1 pods meshed/, 60_000);
    await (await row()).hover();
    await (await row()).getByRole("button", { name: "Inject" }).click();
    await window.modal().waitFor({ timeout: 60_000 });
    assert.match((await window.modal().textContent()) ?? "", new RegExp(`Deployment ${SHOP}/web`));
    await stage.screenshot("inject-dark");
    await window.answerModal("Inject");
    await window.notification(/is meshed: 1 workload restarted/).waitFor({ timeout: INSTALL_MS });
    await waitForText(await row(), /1\/1 pods meshed/, 60_000);
    await window.dismissNotifications();
  });

  step("sensitive headers are redacted before they leave the proxy", async () => {
    const { window } = stage;
    const row = (await window.rows("Workloads", /^web/)).first();
    await row.hover();
    await row.getByRole("button", { name: "Tap" }).click();
    const tap = await window.webview(".rows");
    const shown = tap.locator(".rows .row:not([hidden])", { hasText: "/cart?item=1" });
    await waitFor("requests are shown", 60_000, async () => (await shown.count()) > 2);
    await shown.nth(1).click();
    await tap.locator(".details h2").waitFor();
    const details = (await tap.locator(".details").textContent()) ?? "";
    assert.match(details, /authorizationredacted by the proxy/);
    assert.match(details, /x-shopvisible/);
    assert.ok(!(await tap.content()).includes(SECRET));
    await stage.screenshot("tap-redacted-dark");
    await window.closeEditors();
  });

  step("Inject is refused with the reason where Pod Security forbids what the redirect needs", async () => {
    const { window } = stage;
    await window.command("Inject");
    await window.pick(RESTRICTED);
    await window.pick("the whole namespace");
    await window.notification(/NET_ADMIN/).waitFor({ timeout: 60_000 });
    assert.equal(await window.modal().count(), 0);
    await window.dismissNotifications();
  });

  step("Uninject takes the proxy away again", async () => {
    const { window } = stage;
    const row = (await window.rows("Workloads", /^web/)).first();
    await row.hover();
    await row.getByRole("button", { name: "Uninject" }).click();
    await window.answerModal("Uninject");
    await window.notification(/is no longer meshed/).waitFor({ timeout: INSTALL_MS });
    await waitForText(row, /0\/1 pods meshed/, 60_000);
    await window.dismissNotifications();
  });

  step("a user with the rights of one namespace sees that one, and may not tap", async () => {
    const { window, workspace, client } = stage;
    await window.onlyPane("Services");
    workspace.addContext("viewer", await makeUser(client, SHOP, "viewer", "view"), SHOP);
    await window.command("Choose Cluster");
    await window.pick("viewer");
    const pane = await window.pane("Services");
    await pane.getByText(`You may see namespace ${SHOP} only.`).waitFor({ timeout: 60_000 });
    await (await window.rows("Services", /^web/)).first().waitFor();
    assert.equal(await (await window.rows("Services", /^gateway/)).count(), 0);
    const row = (await window.rows("Services", /^web/)).first();
    await row.hover();
    await row.getByRole("button", { name: "Tap" }).click();
    const tap = await window.webview(".rows");
    await tap.getByText(/You may not see live requests.*Ask your administrator for: watch/).waitFor();
    await stage.screenshot("one-namespace-dark");
    await window.closeEditors();
  });

  step("a user without rights is told so", async () => {
    const { window, workspace, client } = stage;
    workspace.addContext("outsider", await makeUser(client, SHOP, "outsider", undefined), SHOP);
    await window.command("Choose Cluster");
    await window.pick("outsider");
    await (await window.pane("Services")).getByText(/Your rights in this cluster do not reach/).waitFor();
    await stage.screenshot("no-rights-dark");
    await window.command("Choose Cluster");
    await window.pick(new RegExp(`^\\W*${workspace.context.name}`));
    await (await window.rows("Services", /^gateway/)).first().waitFor({ timeout: 60_000 });
  });

  step("Set Window takes the figures over another time, and says so", async () => {
    const { window } = stage;
    await window.command("Set Window");
    await window.pick("30s");
    const pane = await window.pane("Services");
    await pane.getByText(/last 30s, scraped by the mesh since/).waitFor({ timeout: 60_000 });
    await waitForText((await window.rows("Services", /^gateway/)).first(), HTTP_ROW, 60_000);
  });

  step("a connection that breaks is said, and taken up again", async () => {
    const { window, workspace } = stage;
    await workspace.relay.cut();
    const pane = await window.pane("Services");
    await pane
      .getByText(/127\.0\.0\.1:\d+/)
      .first()
      .waitFor();
    await workspace.relay.mend();
    await pane.getByText(/scraped by the mesh since/).waitFor({ timeout: 60_000 });
  });

  step("Uninstall Mesh lists meshed workloads, uninjects them first, and leaves nothing", async () => {
    const { window, client } = stage;
    await window.command("Uninstall Mesh");
    await window.modal().waitFor({ timeout: 60_000 });
    assert.match((await window.modal().textContent()) ?? "", /Deployment weft-demo\/gateway/);
    await stage.screenshot("uninstall-dark");
    await window.answerModal("Uninject and Uninstall");
    await window.notification(/nothing of it is left/).waitFor({ timeout: 2 * INSTALL_MS });
    await (await window.pane("Services")).getByRole("button", { name: "Install Mesh" }).waitFor();
    assert.deepEqual((await planUninstall(client)).objects, []);
    assert.equal(await client.find(resource.namespaces, "weft"), undefined);
    await stage.screenshot("uninstalled-dark");
  });
});

function shownCount(summary: string | null): number {
  return Number(/^\d+/.exec(summary ?? "")?.[0] ?? Number.NaN);
}
