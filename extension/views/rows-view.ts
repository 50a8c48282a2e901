/** A tree view over rows: shows what changed and nothing else, at most once a second. */
import {
  type Disposable,
  EventEmitter,
  MarkdownString,
  ThemeColor,
  ThemeIcon,
  type TreeDataProvider,
  TreeItem,
  TreeItemCollapsibleState,
  type TreeView,
  Uri,
  window,
} from "vscode";
import { changesBetween, indexRows, type Row, type RowIcon, type RowIndex } from "./row.ts";

const SHORTEST_INTERVAL_MS = 1_000;
export const HEALTH_SCHEME = "weft-health";

/** Rows are known to VS Code by their id: a new row of the same id takes the old one's place. */
export type RowId = string;

export class RowsView implements Disposable, TreeDataProvider<RowId> {
  readonly #media: Uri;
  readonly #emitter = new EventEmitter<RowId[] | undefined>();
  readonly onDidChangeTreeData = this.#emitter.event;
  readonly tree: TreeView<RowId>;
  #rows: readonly Row[] = [];
  #index: RowIndex = new Map();
  #waiting: readonly Row[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #shownAt = 0;

  /** @param media folder of the icons */
  constructor(id: string, media: Uri) {
    this.#media = media;
    this.tree = window.createTreeView(id, { treeDataProvider: this, showCollapseAll: true });
  }

  /** The rows from now on; those of a burst but the last are skipped. */
  setRows(rows: readonly Row[]): void {
    this.#waiting = rows;
    if (this.#timer !== undefined) return;
    const pause = this.#shownAt + SHORTEST_INTERVAL_MS - performance.now();
    if (pause <= 0) this.#flush();
    else this.#timer = setTimeout(() => this.#flush(), pause);
  }

  /** At once: rows of one cluster must not stand under the name of another, not even for a second. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = undefined;
    if (this.#rows.length === 0) return;
    this.#rows = [];
    this.#index = new Map();
    this.#emitter.fire(undefined);
  }

  row(id: RowId): Row | undefined {
    return this.#index.get(id)?.row;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = this.#waiting;
    if (rows === undefined) return;
    this.#waiting = undefined;
    const changes = changesBetween(this.#rows, rows);
    this.#rows = rows;
    this.#index = indexRows(rows);
    this.#shownAt = performance.now();
    if (changes.roots) this.#emitter.fire(undefined);
    else if (changes.rows.length > 0) this.#emitter.fire([...changes.rows]);
  }

  getChildren(id?: RowId): RowId[] {
    const rows = id === undefined ? this.#rows : (this.row(id)?.children ?? []);
    return rows.map((row) => row.id);
  }

  getParent(id: RowId): RowId | undefined {
    return this.#index.get(id)?.parent;
  }

  getTreeItem(id: RowId): TreeItem {
    const row = this.row(id);
    // VS Code may still ask for a row that is gone by now.
    if (row === undefined) return new TreeItem("");
    const item = new TreeItem(row.label, collapsible(row));
    item.id = row.id;
    item.iconPath = iconPath(row.icon, this.#media);
    item.accessibilityInformation = { label: row.accessible };
    if (row.description !== undefined) item.description = row.description;
    if (row.context !== undefined) item.contextValue = row.context;
    if (row.health !== undefined)
      item.resourceUri = Uri.from({ scheme: HEALTH_SCHEME, path: `/${row.id}`, query: row.health });
    if (row.tooltip === undefined) item.tooltip = row.accessible;
    return item;
  }

  resolveTreeItem(item: TreeItem, id: RowId): TreeItem {
    const text = this.row(id)?.tooltip?.();
    if (text !== undefined) item.tooltip = new MarkdownString(text);
    return item;
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.tree.dispose();
    this.#emitter.dispose();
  }
}

function collapsible(row: Row): TreeItemCollapsibleState {
  if (row.children === undefined) return TreeItemCollapsibleState.None;
  return row.expanded === true ? TreeItemCollapsibleState.Expanded : TreeItemCollapsibleState.Collapsed;
}

const GREEN = "charts.green";
const YELLOW = "list.warningForeground";
const RED = "list.errorForeground";
const GREY = "disabledForeground";

/** Product icon and colour; a name alone is a file in media. */
const ICONS: Readonly<Record<RowIcon, readonly [icon: string, color?: string] | string>> = {
  "mtls-all": ["lock", GREEN],
  "mtls-partial": "mtls-partial",
  "mtls-none": ["unlock", YELLOW],
  "mtls-unknown": ["question", GREY],
  namespace: ["symbol-namespace"],
  pods: ["server-process"],
  callers: ["call-incoming"],
  "pod-meshed": ["pass-filled", GREEN],
  "pod-unmeshed": ["circle-large-outline", GREY],
  identity: ["key"],
  "workload-meshed": ["pass-filled", GREEN],
  "workload-partial": ["warning", YELLOW],
  "workload-unmeshed": ["circle-large-outline", GREY],
  "check-success": ["pass", GREEN],
  "check-warning": ["warning", YELLOW],
  "check-error": ["error", RED],
  "check-skipped": ["circle-slash", GREY],
  info: ["info"],
  loading: ["loading~spin"],
  hint: ["lightbulb"],
};

function iconPath(icon: RowIcon, media: Uri): ThemeIcon | { light: Uri; dark: Uri } {
  const look = ICONS[icon];
  if (typeof look === "string") {
    const file = (theme: string): Uri => Uri.joinPath(media, `${look}-${theme}.svg`);
    return { light: file("light"), dark: file("dark") };
  }
  const [name, color] = look;
  return new ThemeIcon(name, color === undefined ? undefined : new ThemeColor(color));
}
