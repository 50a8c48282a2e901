import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { changesBetween, indexRows, type Row } from "../../../extension/views/row.ts";

function row(id: string, description = "", children?: readonly Row[]): Row {
  return { id, label: id, description, icon: "info", accessible: id, ...(children === undefined ? {} : { children }) };
}

describe("what changes in a tree", () => {
  it("is nothing where nothing does", () => {
    const before = [row("a", "1", [row("b", "2")])];
    const after = [row("a", "1", [row("b", "2")])];
    assert.deepEqual(changesBetween(before, after), { roots: false, rows: [] });
  });

  it("is the row alone whose look differs", () => {
    const before = [row("a", "", [row("b", "1"), row("c", "1")]), row("d")];
    const after = [row("a", "", [row("b", "1"), row("c", "2")]), row("d")];
    assert.deepEqual(changesBetween(before, after), { roots: false, rows: ["c"] });
  });

  it("is the parent where its children are others, and no row inside it", () => {
    const before = [row("a", "", [row("b", "1", [row("x")])])];
    const after = [row("a", "", [row("b", "2", [row("x")]), row("c")])];
    assert.deepEqual(changesBetween(before, after), { roots: false, rows: ["a"] });
  });

  it("is everything where the roots are others", () => {
    assert.equal(changesBetween([], [row("a")]).roots, true);
    assert.equal(changesBetween([row("a"), row("b")], [row("b"), row("a")]).roots, true);
  });

  it("a tooltip that is made anew is no change", () => {
    const withTooltip = (): Row => ({ ...row("a"), tooltip: () => String(Math.random()) });
    assert.deepEqual(changesBetween([withTooltip()], [withTooltip()]), { roots: false, rows: [] });
  });

  it("showing the changed rows again makes the old tree look like the new one", () => {
    const tree = forest(3);
    fc.assert(
      fc.property(tree, tree, (a, b) => {
        const [before, after] = [named(a, ""), named(b, "")];
        const changes = changesBetween(before, after);
        const shown = changes.roots ? after : apply(before, indexRows(after), new Set(changes.rows));
        assert.deepEqual(look(shown), look(after));
      }),
    );
  });

  it("rows know their parents", () => {
    const index = indexRows([row("a", "", [row("b", "", [row("c")])])]);
    assert.equal(index.get("c")?.parent, "b");
    assert.equal(index.get("a")?.parent, undefined);
    assert.equal(index.size, 3);
  });
});

function forest(depth: number): fc.Arbitrary<Row[]> {
  const children = depth === 0 ? fc.constant<Row[]>([]) : forest(depth - 1);
  const node = fc
    .tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2"), children)
    .map(([id, description, below]) => row(id, description, below));
  return fc.array(node, { maxLength: 3 });
}

/** Ids are unique in a tree: the way to a row makes them so. Siblings of one name are one. */
function named(rows: readonly Row[], prefix: string): Row[] {
  const seen = new Set<string>();
  return rows.flatMap((each) => {
    const id = `${prefix}/${each.id}`;
    if (seen.has(id)) return [];
    seen.add(id);
    return [{ ...each, id, children: named(each.children ?? [], id) }];
  });
}

/** What VS Code does: a row shown again is asked for with all that is below it. */
function apply(before: readonly Row[], after: ReturnType<typeof indexRows>, changed: ReadonlySet<string>): Row[] {
  return before.map((each) => {
    const fresh = after.get(each.id)?.row;
    if (changed.has(each.id) && fresh !== undefined) return fresh;
    return { ...each, children: apply(each.children ?? [], after, changed) };
  });
}

function look(rows: readonly Row[]): unknown {
  return rows.map(({ id, description, children }) => ({ id, description, children: look(children ?? []) }));
}
