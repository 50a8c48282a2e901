import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { literalArgument } from "../../../../runtime/model/bundle.ts";
import { podField, resourceField } from "../../../../runtime/sandbox/node/downward.ts";
import { expand } from "../../../../runtime/sandbox/node/environment.ts";
import { type ObservedPod, podStatus } from "../../../../runtime/sandbox/node/pod-status.ts";
import type {
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodSpec,
} from "../../../../runtime/sandbox/node/pod-types.ts";
import { capabilitiesOf, setprivArguments } from "../../../../runtime/sandbox/node/privileges.ts";
import { RestartBackoff } from "../../../../runtime/sandbox/node/restart-backoff.ts";
import { parseQuantity } from "../../../../runtime/sandbox/quantity.ts";

const pod = (spec: Partial<PodSpec>, status: Pod["status"] = {}): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", namespace: "team", uid: "1", labels: { b: "2", a: 'x"y' } },
  spec: { containers: [{ name: "app" }], ...spec },
  status,
});

const running: ContainerState = { running: { startedAt: "2026-01-01T00:00:00Z" } };
const waiting: ContainerState = { waiting: { reason: "ContainerCreating" } };
const ended = (exitCode: number): ContainerState => ({
  terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt: null, finishedAt: null },
});

function container(name: string, state: ContainerState, more: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name, state, lastState: {}, ready: false, started: false, restartCount: 0, image: "", imageID: "", ...more };
}

function observed(containers: ContainerStatus[], more: Partial<ObservedPod> = {}): ObservedPod {
  return {
    hostAddress: "10.0.0.11",
    podAddress: "10.0.1.2",
    startTime: "t",
    initContainers: [],
    containers,
    over: false,
    ...more,
  };
}

const NOW = "2026-01-01T00:00:10Z";

describe("a pod's status", () => {
  const phase = (spec: Partial<PodSpec>, seen: ObservedPod): string | undefined =>
    podStatus(pod(spec), seen, NOW).phase;
  const sidecar = { name: "side", restartPolicy: "Always" };

  test("phases", () => {
    assert.equal(phase({}, observed([container("app", waiting)])), "Pending");
    assert.equal(phase({}, observed([container("app", running)])), "Running");
    // Between two runs it has run.
    assert.equal(phase({}, observed([container("app", waiting, { lastState: ended(1) })])), "Running");
    assert.equal(phase({ restartPolicy: "Never" }, observed([container("app", ended(0))])), "Succeeded");
    assert.equal(phase({ restartPolicy: "Never" }, observed([container("app", ended(1))])), "Failed");
    assert.equal(phase({ restartPolicy: "OnFailure" }, observed([container("app", ended(1))])), "Running");
    assert.equal(phase({}, observed([container("app", ended(0))], { over: true })), "Succeeded");
    assert.equal(phase({}, observed([container("app", waiting)], { over: true })), "Failed");
    const beside = observed([container("app", ended(0))], { initContainers: [container("side", running)] });
    assert.equal(phase({ restartPolicy: "Never", initContainers: [sidecar] }, beside), "Running");
  });

  test("conditions: who is not ready, who is not through, and since when", () => {
    const spec: Partial<PodSpec> = { initContainers: [{ name: "init" }, sidecar] };
    const first = podStatus(
      pod(spec),
      observed([container("app", waiting)], {
        initContainers: [container("init", ended(0), { ready: true }), container("side", running)],
      }),
      NOW,
    );
    const of = (status: Pod["status"], type: string) =>
      status?.conditions?.find((condition) => condition.type === type);
    assert.equal(of(first, "Initialized")?.message, "containers with incomplete status: [side]");
    assert.equal(of(first, "Ready")?.message, "containers with unready status: [side app]");
    assert.equal(of(first, "PodScheduled")?.status, "True");

    const later = "2026-01-01T00:00:20Z";
    const up = { ready: true, started: true };
    const second = podStatus(
      pod(spec, first),
      observed([container("app", running, up)], {
        initContainers: [container("init", ended(0), { ready: true }), container("side", running, up)],
      }),
      later,
    );
    assert.deepEqual([of(second, "Initialized")?.status, of(second, "Ready")?.status], ["True", "True"]);
    assert.equal(of(second, "Ready")?.lastTransitionTime, later);
    assert.equal(of(second, "PodScheduled")?.lastTransitionTime, NOW);
  });

  test("conditions and fields of others are kept", () => {
    const gate = { type: "example.com/gate", status: "True" as const };
    const status = podStatus(
      pod({}, { conditions: [gate], qosClass: "Burstable" }),
      observed([container("app", running)]),
      NOW,
    );
    assert.deepEqual(status.conditions?.[0], gate);
    assert.equal(status["qosClass"], "Burstable");
  });
});

describe("what a container is given", () => {
  test("names in arguments: known ones are replaced, `$$` is one `$`", () => {
    const env = new Map([
      ["A", "1"],
      ["B", "$(A)"],
    ]);
    assert.equal(expand("$(A) $(B) $$(A) $(C) $A $ $$$(A) $(", env), "1 $(A) $(A) $(C) $A $ $1 $(");
    // What installers write as a literal comes out as it was.
    fc.assert(fc.property(fc.string(), (text) => expand(literalArgument(text), env) === text));
  });

  test("quantities", () => {
    for (const [text, value] of [
      ["250m", 0.25],
      ["64Mi", 64 * 2 ** 20],
      ["1e3", 1000],
      ["2", 2],
      ["1.5G", 1.5e9],
      [3, 3],
      ["2E", 2e18],
    ] as const) {
      assert.equal(parseQuantity(text), value, String(text));
    }
    assert.throws(() => parseQuantity("12Mb"), /no quantity/);
  });

  test("fields and resources", () => {
    assert.equal(podField(pod({}), { fieldPath: "metadata.labels" }), 'a="x\\"y"\nb="2"');
    assert.equal(podField(pod({}), { fieldPath: "metadata.labels['b']" }), "2");
    assert.equal(podField(pod({}), { fieldPath: "metadata.annotations['none']" }), "");
    assert.equal(podField(pod({}), { fieldPath: "spec.serviceAccountName" }), "default");
    assert.equal(podField(pod({}), { fieldPath: "spec.nothing" }), undefined);
    const app: Container = { name: "app", resources: { limits: { cpu: "1500m" }, requests: { memory: "100Mi" } } };
    assert.equal(resourceField(app, { resource: "limits.cpu" }), "2");
    assert.equal(resourceField(app, { resource: "limits.cpu", divisor: "1m" }), "1500");
    assert.equal(resourceField(app, { resource: "requests.memory", divisor: "1Mi" }), "100");
    assert.equal(resourceField(app, { resource: "requests.cpu" }), "0");
    assert.equal(resourceField(app, { resource: "limits.gpu" }), undefined);
  });

  test("privileges", () => {
    const init: Container = {
      name: "linkerd-init",
      securityContext: { capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "CAP_NET_RAW"] } },
    };
    assert.deepEqual(capabilitiesOf(init), ["net_admin", "net_raw"]);
    assert.equal(capabilitiesOf({ name: "plain" }).length, 14);
    assert.ok(setprivArguments(init).includes("--bounding-set=-all,+net_admin,+net_raw"));
    const proxy: Container = { name: "proxy", securityContext: { runAsUser: 2102, allowPrivilegeEscalation: false } };
    const args = setprivArguments(proxy, { runAsGroup: 7, fsGroup: 9, supplementalGroups: [8, 9] });
    for (const expected of ["--reuid=2102", "--regid=7", "--groups=8,9", "--no-new-privs", "--pdeathsig=KILL"]) {
      assert.ok(args.includes(expected), expected);
    }
    assert.ok(
      !setprivArguments({ name: "all", securityContext: { privileged: true } }).some((each) =>
        each.startsWith("--bounding-set"),
      ),
    );
  });

  test("pauses before it runs again", () => {
    const backoff = new RestartBackoff();
    const pauses = [0, 1, 20, 50, 100, 200, 400, 800].map((second) => backoff.next(second * 1000) / 1000);
    assert.deepEqual(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
    assert.equal(backoff.next(2_000_000), 0);
  });
});
