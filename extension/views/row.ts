/** A tree as plain data, and what changes from one to the next. Knows no `vscode`. */

/** An icon by its meaning; rows-view.ts gives it its look. */
export type RowIcon =
  | "mtls-all"
  | "mtls-partial"
  | "mtls-none"
  | "mtls-unknown"
  | "namespace"
  | "pods"
  | "callers"
  | "pod-meshed"
  | "pod-unmeshed"
  | "identity"
  | "workload-meshed"
  | "workload-partial"
  | "workload-unmeshed"
  | "check-success"
  | "check-warning"
  | "check-error"
  | "check-skipped"
  | "info"
  | "loading"
  | "hint";

export interface Row {
  /** Unique in its tree, the same from update to update. */
  readonly id: string;
  readonly label: string;
  readonly description?: string;
  readonly icon: RowIcon;
  /** Colours the label, with a badge for those who do not see colours. */
  readonly health?: "warning" | "poor";
  /** What menus match. */
  readonly context?: string;
  /** The whole row in words. */
  readonly accessible: string;
  /** Markdown, made when somebody looks. */
  readonly tooltip?: () => string;
  /** What commands on this row work on. */
  readonly subject?: RowSubject;
  readonly children?: readonly Row[];
  /** As it first appears; default collapsed. */
  readonly expanded?: boolean;
}

/** A thing in the cluster. */
export interface RowSubject {
  readonly kind: "Namespace" | "Service" | "Deployment" | "StatefulSet" | "DaemonSet" | "Pod" | "Identity";
  readonly namespace: string;
  readonly name: string;
}

export interface IndexedRow {
  readonly row: Row;
  readonly parent: string | undefined;
}

export type RowIndex = ReadonlyMap<string, IndexedRow>;

export function indexRows(roots: readonly Row[]): RowIndex {
  const index = new Map<string, IndexedRow>();
  const add = (rows: readonly Row[], parent: string | undefined): void => {
    for (const row of rows) {
      index.set(row.id, { row, parent });
      if (row.children !== undefined) add(row.children, row.id);
    }
  };
  add(roots, undefined);
  return index;
}

export interface RowChanges {
  /** The set or order of the roots differs: everything is to be asked for again. */
  readonly roots: boolean;
  /** Rows to show again: their own look differs, or which children they have. No row whose ancestor is among them. */
  readonly rows: readonly string[];
}

/** The fewest rows that must be shown again for `before` to become `after`. */
export function changesBetween(before: readonly Row[], after: readonly Row[]): RowChanges {
  if (!sameOrder(before, after)) return { roots: true, rows: [] };
  const rows: string[] = [];
  compare(before, after, rows);
  return { roots: false, rows };
}

function compare(before: readonly Row[], after: readonly Row[], changed: string[]): void {
  for (const [index, row] of after.entries()) {
    const old = before[index];
    if (old === undefined || old === row) continue;
    if (!sameLook(old, row) || !sameOrder(old.children ?? [], row.children ?? [])) {
      changed.push(row.id);
      // Showing a row again shows its children again, where they are open.
      continue;
    }
    compare(old.children ?? [], row.children ?? [], changed);
  }
}

function sameOrder(before: readonly Row[], after: readonly Row[]): boolean {
  return before.length === after.length && before.every((row, index) => row.id === after[index]?.id);
}

function sameLook(a: Row, b: Row): boolean {
  return (
    a.label === b.label &&
    a.description === b.description &&
    a.icon === b.icon &&
    a.health === b.health &&
    a.context === b.context &&
    a.accessible === b.accessible &&
    (a.children === undefined) === (b.children === undefined)
  );
}
