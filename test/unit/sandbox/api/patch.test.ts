import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { jsonPatch, mergePatch, strategicPatch } from "../../../../runtime/sandbox/api/patch.ts";
import { modelSchema } from "../../../../runtime/sandbox/api/schema.ts";

describe("patches", () => {
  it("merge: the examples of RFC 7386, appendix A", () => {
    const examples: [unknown, unknown, unknown][] = [
      [{ a: "b" }, { a: "c" }, { a: "c" }],
      [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
      [{ a: "b" }, { a: null }, {}],
      [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
      [{ a: ["b"] }, { a: "c" }, { a: "c" }],
      [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
      [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
      [
        ["a", "b"],
        ["c", "d"],
        ["c", "d"],
      ],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [target, patch, result] of examples) assert.deepEqual(mergePatch(target, patch), result);
  });

  it("leave what they patch as it was", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom("a", "b"), fc.jsonValue()), fc.jsonValue(), (target, value) => {
        const before = JSON.stringify(target);
        mergePatch(target, { a: value });
        jsonPatch(target, [{ op: "add", path: "/c", value }]);
        strategicPatch(target, { a: value }, { type: "any" });
        assert.equal(JSON.stringify(target), before);
      }),
    );
  });

  it("JSON: pointers with ~, indices, whole documents", () => {
    assert.deepEqual(jsonPatch({ "a/b": { "~c": 1 } }, [{ op: "remove", path: "/a~1b/~0c" }]), { "a/b": {} });
    assert.deepEqual(jsonPatch({ a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }]), { a: [1, 2, 3] });
    assert.deepEqual(jsonPatch({ a: [1] }, [{ op: "move", from: "/a/0", path: "/b" }]), { a: [], b: 1 });
    assert.deepEqual(jsonPatch({ a: 1 }, [{ op: "replace", path: "", value: { b: 2 } }]), { b: 2 });
    assert.throws(() => jsonPatch({ a: [1] }, [{ op: "add", path: "/a/3", value: 2 }]), /index out of bounds/);
    assert.throws(() => jsonPatch({}, [{ op: "remove", path: "/a" }]), /leads nowhere/);
    assert.throws(() => jsonPatch({}, [{ op: "replace", path: "/a/b", value: 1 }]), /leads nowhere/);
  });

  it("strategic: order and deletion in merging lists", () => {
    const schema = modelSchema("V1PodSpec");
    const spec = {
      containers: [
        { name: "a", image: "1" },
        { name: "b", image: "2" },
        { name: "c", image: "3" },
      ],
    };
    const ordered = strategicPatch(
      spec,
      { "$setElementOrder/containers": [{ name: "c" }, { name: "a" }], containers: [{ name: "b", $patch: "delete" }] },
      schema,
    );
    assert.deepEqual(ordered, {
      containers: [
        { name: "c", image: "3" },
        { name: "a", image: "1" },
      ],
    });
    const finalizers = strategicPatch(
      { finalizers: ["a", "b"] },
      { "$deleteFromPrimitiveList/finalizers": ["a"], finalizers: ["c"] },
      modelSchema("V1ObjectMeta"),
    );
    assert.deepEqual(finalizers, { finalizers: ["b", "c"] });
    assert.throws(
      () => strategicPatch(spec, { containers: [{ image: "x" }] }, schema),
      /does not contain declared merge key: name/,
    );
  });
});
