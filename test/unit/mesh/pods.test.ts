import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Pod, podTroubles } from "../../../runtime/mesh/pods.ts";
import { rolloutState, selectorText, type Workload } from "../../../runtime/mesh/rollout.ts";

function pod(status: Pod["status"]): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop" },
    spec: { containers: [{ name: "web" }] },
    ...(status === undefined ? {} : { status }),
  };
}

const container = { name: "web", ready: false, restartCount: 0, image: "web:1" };

describe("what keeps a pod from becoming ready", () => {
  it("is an image that cannot be pulled", () => {
    const state = { waiting: { reason: "ImagePullBackOff", message: 'Back-off pulling image "web:1"' } };
    const [trouble] = podTroubles(pod({ containerStatuses: [{ ...container, state }] }));
    assert.equal(trouble?.kind, "image");
    assert.match(trouble?.message ?? "", /image web:1 of container web of pod web-1 cannot be pulled: Back-off/);
  });

  it("is a crash, with its exit code and last words", () => {
    const terminated = { exitCode: 3, reason: "Error", message: "no such file\n" };
    const status = {
      ...container,
      restartCount: 4,
      state: { waiting: { reason: "CrashLoopBackOff" } },
      lastState: { terminated },
    };
    const [trouble] = podTroubles(pod({ containerStatuses: [status] }));
    assert.equal(trouble?.kind, "crash");
    assert.equal(trouble?.restarts, 4);
    assert.equal(trouble?.said, "no such file");
    assert.match(trouble?.message ?? "", /ended with exit code 3/);
  });

  it("is memory, said in so many words", () => {
    const state = { terminated: { exitCode: 137, reason: "OOMKilled" } };
    assert.match(podTroubles(pod({ containerStatuses: [{ ...container, state }] }))[0]?.message ?? "", /out of memory/);
  });

  it("is found in init containers too, and before the scheduler's", () => {
    const state = { waiting: { reason: "ErrImagePull" } };
    const troubles = podTroubles(
      pod({
        initContainerStatuses: [{ ...container, name: "linkerd-init", state }],
        conditions: [{ type: "PodScheduled", status: "False", message: "0/2 nodes are available" }],
      }),
    );
    assert.deepEqual(
      troubles.map(({ kind }) => kind),
      ["image", "unschedulable"],
    );
  });

  it("is nothing while it starts, runs again after a crash, or has ended well", () => {
    const crashed = { terminated: { exitCode: 1 } };
    assert.deepEqual(podTroubles(pod(undefined)), []);
    assert.deepEqual(
      podTroubles(
        pod({
          initContainerStatuses: [{ ...container, name: "init", ready: true, state: { terminated: { exitCode: 0 } } }],
          containerStatuses: [
            { ...container, state: { waiting: { reason: "PodInitializing" } } },
            { ...container, name: "b", restartCount: 1, state: { running: {} }, lastState: crashed },
          ],
        }),
      ),
      [],
    );
  });
});

function workload(spec: Partial<Workload["spec"]>, status: Workload["status"]): Workload {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop", generation: 2 },
    spec: { template: { spec: { containers: [] } }, ...spec },
    ...(status === undefined ? {} : { status }),
  };
}

describe("a rollout", () => {
  const ready = { observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };

  it("is done when all pods are new and available, and no old one is left", () => {
    assert.equal(rolloutState("Deployment", workload({ replicas: 2 }, ready)).done, true);
    assert.equal(rolloutState("Deployment", workload({ replicas: 2 }, { ...ready, replicas: 3 })).done, false);
    assert.equal(rolloutState("Deployment", workload({ replicas: 2 }, { ...ready, availableReplicas: 1 })).done, false);
    assert.equal(rolloutState("Deployment", workload({ replicas: 0 }, { observedGeneration: 2 })).done, true);
  });

  it("is not done before its controller has seen the change", () => {
    assert.equal(
      rolloutState("Deployment", workload({ replicas: 2 }, { ...ready, observedGeneration: 1 })).done,
      false,
    );
  });

  it("of a DaemonSet counts nodes; pods that become new only when deleted are not waited for", () => {
    const status = { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 1, numberAvailable: 3 };
    assert.equal(rolloutState("DaemonSet", workload({}, status)).done, false);
    assert.equal(rolloutState("DaemonSet", workload({ updateStrategy: { type: "OnDelete" } }, status)).done, true);
  });

  it("takes pods by labels and expressions", () => {
    const selector = {
      matchLabels: { app: "web" },
      matchExpressions: [
        { key: "tier", operator: "In", values: ["a", "b"] },
        { key: "old", operator: "DoesNotExist" },
      ],
    };
    assert.equal(selectorText(selector), "app=web,tier in (a,b),!old");
  });
});
