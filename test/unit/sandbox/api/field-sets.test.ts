import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  difference,
  emptySet,
  fieldsOf,
  fromFieldsV1,
  isEmpty,
  pathsOf,
  toFieldsV1,
  union,
} from "../../../../runtime/sandbox/api/field-set.ts";
import type { Fields } from "../../../../runtime/sandbox/api/object.ts";
import { modelSchema } from "../../../../runtime/sandbox/api/schema.ts";

const schema = modelSchema("V1Pod");

const pod = fc.record(
  {
    metadata: fc.record({ labels: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2")) }),
    spec: fc.record(
      {
        nodeName: fc.constantFrom("n1", "n2"),
        containers: fc.uniqueArray(
          fc.record({ name: fc.constantFrom("x", "y", "z"), image: fc.constantFrom("i", "j") }),
          { selector: ({ name }) => name },
        ),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Fields>;

describe("sets of fields", () => {
  it("come back from the wire as they went", () => {
    fc.assert(
      fc.property(pod, (object) => {
        const set = fieldsOf(object, schema);
        assert.deepEqual(toFieldsV1(fromFieldsV1(toFieldsV1(set))), toFieldsV1(set));
      }),
    );
  });

  it("add up and subtract as sets do", () => {
    fc.assert(
      fc.property(pod, pod, (one, two) => {
        const a = fieldsOf(one, schema);
        const b = fieldsOf(two, schema);
        const all = pathsOf(union(a, b)).sort();
        assert.deepEqual(all, [...new Set([...pathsOf(a), ...pathsOf(b)])].sort());
        assert.deepEqual(
          pathsOf(difference(a, b)).sort(),
          pathsOf(a)
            .filter((path) => !pathsOf(b).includes(path))
            .sort(),
        );
        assert.ok(isEmpty(difference(a, union(a, b))));
        assert.deepEqual(toFieldsV1(union(emptySet(), a)), toFieldsV1(a));
      }),
    );
  });

  it("name items of lists by their keys", () => {
    const object = { spec: { containers: [{ name: "a", ports: [{ containerPort: 80 }] }], nodeSelector: { x: "y" } } };
    assert.deepEqual(pathsOf(fieldsOf(object, schema)).sort(), [
      '.spec.containers[name="a"]',
      '.spec.containers[name="a"].name',
      '.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"]',
      '.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort',
      ".spec.nodeSelector",
    ]);
  });
});
