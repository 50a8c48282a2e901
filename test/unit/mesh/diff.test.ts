import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubeObject } from "../../../runtime/kube/types.ts";
import { differences, summarize } from "../../../runtime/mesh/diff.ts";

function deployment(spec: Record<string, unknown>, metadata: Record<string, unknown> = {}): KubeObject {
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web", ...metadata }, spec };
}

describe("what an apply would change", () => {
  it("is nothing where only the server's own fields differ", () => {
    const before = {
      ...deployment({ replicas: 1 }, { resourceVersion: "1", uid: "a", generation: 1 }),
      status: { replicas: 1 },
    };
    const after = deployment({ replicas: 1 }, { resourceVersion: "2", uid: "b", generation: 2, managedFields: [{}] });
    assert.deepEqual(differences(before, after), []);
  });

  it("names a field by its path, with both values", () => {
    assert.deepEqual(differences(deployment({ replicas: 1 }), deployment({ replicas: 2 })), ["spec.replicas: 1 → 2"]);
  });

  it("names elements of lists by their name, whatever their order", () => {
    const before = deployment({
      containers: [
        { name: "a", image: "x:1" },
        { name: "b", image: "y:1" },
      ],
    });
    const after = deployment({ containers: [{ name: "b", image: "y:1" }, { name: "a", image: "x:2" }, { name: "c" }] });
    assert.deepEqual(differences(before, after), ["spec.containers[a].image: x:1 → x:2", "spec.containers[c]: added"]);
  });

  it("tells added and removed fields, and does not show long values", () => {
    const before = deployment({ paused: true, loader: "x".repeat(100), args: ["a", "b"] });
    const after = deployment({ loader: "y".repeat(100), args: ["a"], minReadySeconds: 5 });
    assert.deepEqual(differences(before, after), [
      "spec.paused: removed",
      "spec.loader: changed",
      "spec.args[1]: removed",
      "spec.minReadySeconds: added 5",
    ]);
  });

  it("is summed up in one line", () => {
    const lines = Array.from({ length: 15 }, (_, index) => `f${index}: changed`);
    assert.match(summarize(lines), /f11: changed; and 3 more$/);
    assert.equal(summarize(lines.slice(0, 2)), "f0: changed; f1: changed");
  });
});
