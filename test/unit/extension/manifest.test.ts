import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import {
  command,
  contextKey,
  EXTENSION_ID,
  itemContext,
  SETTINGS_SECTION,
  SITUATIONS,
  setting,
  view,
  viewContainer,
} from "../../../extension/contributions.ts";
import { readSnippets } from "../../cluster/support/snippet-text.ts";

const root = resolve(import.meta.dirname, "../../..");

interface MenuItem {
  readonly command: string;
  readonly when?: string;
}
interface Manifest {
  readonly name: string;
  readonly publisher: string;
  readonly main: string;
  readonly icon?: string;
  readonly activationEvents: readonly string[];
  readonly capabilities: { readonly untrustedWorkspaces: { readonly restrictedConfigurations: readonly string[] } };
  readonly contributes: {
    readonly viewsContainers: { readonly activitybar: readonly { readonly id: string; readonly icon: string }[] };
    readonly views: Readonly<Record<string, readonly { readonly id: string; readonly icon: string }[]>>;
    readonly viewsWelcome: readonly { readonly view: string; readonly when: string; readonly contents: string }[];
    readonly commands: readonly { readonly command: string; readonly title: string; readonly category: string }[];
    readonly menus: Readonly<Record<string, readonly MenuItem[]>>;
    readonly configuration: readonly {
      readonly properties: Readonly<
        Record<
          string,
          {
            readonly default: unknown;
            readonly description?: string;
            readonly markdownDescription?: string;
            readonly scope: string;
          }
        >
      >;
    }[];
    readonly snippets: readonly { readonly path: string }[];
  };
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const { contributes } = manifest;
const sorted = (values: Iterable<string>): string[] => [...values].sort();

describe("package.json and extension/contributions.ts", () => {
  it("agree on the extension's id", () => {
    assert.equal(EXTENSION_ID, `${manifest.publisher}.${manifest.name}`);
    assert.deepEqual(manifest.activationEvents, []);
  });

  it("agree on commands, each with a title and the category Weft", () => {
    assert.deepEqual(sorted(contributes.commands.map((entry) => entry.command)), sorted(Object.values(command)));
    for (const { title, category } of contributes.commands) assert.ok(title !== "" && category === "Weft");
  });

  it("agree on views", () => {
    const views = contributes.views[viewContainer] ?? [];
    assert.deepEqual(sorted(views.map(({ id }) => id)), sorted(Object.values(view)));
    assert.equal(contributes.viewsContainers.activitybar[0]?.id, viewContainer);
  });

  it("agree on settings, each with a default, a description and a scope", () => {
    const properties = Object.assign(
      {},
      ...contributes.configuration.map((group) => group.properties),
    ) as Manifest["contributes"]["configuration"][number]["properties"];
    assert.deepEqual(
      sorted(Object.keys(properties)),
      sorted(Object.values(setting).map((name) => `${SETTINGS_SECTION}.${name}`)),
    );
    for (const [name, { default: value, description, markdownDescription, scope }] of Object.entries(properties)) {
      assert.notEqual(value, undefined, name);
      assert.ok((description ?? markdownDescription ?? "").length > 20, name);
      assert.ok(["machine-overridable", "resource"].includes(scope), name);
    }
  });

  it("a folder that is not trusted cannot set what runs programs", () => {
    const restricted = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
    for (const name of [setting.kubeconfig, setting.extraPath, setting.nodeImage, setting.initImage])
      assert.ok(restricted.includes(`${SETTINGS_SECTION}.${name}`), name);
  });

  it("menus name commands that there are, and read only context that is set", () => {
    const known = new Set<string>(Object.values(command));
    const words = new Set<string>([
      ...Object.values(view),
      ...Object.values(itemContext),
      ...SITUATIONS,
      "workload;meshed",
    ]);
    for (const [menu, items] of Object.entries(contributes.menus)) {
      for (const { command: id, when = "" } of items) {
        assert.ok(known.has(id), `${menu}: ${id}`);
        checkWhen(when, words);
      }
    }
  });

  it("every situation without figures has a welcome view, whose links are commands that there are", () => {
    const known = new Set<string>(Object.values(command));
    for (const situation of SITUATIONS) {
      const found = contributes.viewsWelcome.some(
        (welcome) => welcome.view === view.services && welcome.when.includes(`${contextKey.situation} == ${situation}`),
      );
      assert.equal(found, situation !== "ready", situation);
    }
    for (const { contents } of contributes.viewsWelcome) {
      for (const [, id = ""] of contents.matchAll(/\(command:([\w.]+)/g))
        assert.ok(known.has(id) || id === "workbench.action.openSettings", id);
    }
  });

  it("icons are there", () => {
    const icons = [...Object.values(contributes.views).flat(), ...contributes.viewsContainers.activitybar].map(
      ({ icon }) => icon,
    );
    for (const icon of [...icons, ...(manifest.icon === undefined ? [] : [manifest.icon])])
      assert.ok(existsSync(join(root, icon)), icon);
  });

  it("snippets are valid YAML as they expand, and are offered by a prefix of ours", () => {
    for (const { path } of contributes.snippets) assert.ok(existsSync(join(root, path)), path);
    for (const { title, prefixes, text } of readSnippets()) {
      assert.ok(
        prefixes.some((prefix) => prefix.startsWith("weft-")),
        title,
      );
      assert.doesNotMatch(text, /\$/, title);
      for (const document of parseAllDocuments(text)) assert.deepEqual(document.errors, [], title);
    }
  });
});

/** Names in a `when` clause: ours, or those that VS Code sets. */
function checkWhen(when: string, words: ReadonlySet<string>): void {
  for (const key of when.matchAll(/\bweft\.[\w.]+/g)) {
    const [name] = key;
    const ours = [...Object.values(contextKey), ...words].includes(name) || name === "weft.";
    assert.ok(ours, `${name} in ${when}`);
  }
  for (const [, value = ""] of when.matchAll(/(?:viewItem|weft\.situation) == ([\w;-]+)/g))
    assert.ok(words.has(value), `${value} in ${when}`);
}
