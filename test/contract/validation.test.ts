import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resourceOf, resourcePath } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { type Cluster, connect, deployment, type Json } from "./support/cluster.ts";

interface Cause {
  readonly field: string;
  readonly reason: string;
}

/** What a manifest most often gets wrong, and what it is told: `field reason` of each cause. */
describe("a manifest that is wrong", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  async function causes(object: KubeObject): Promise<string[]> {
    const resource = resourceOf(object);
    const namespace = resource.namespaced ? cluster.namespace : undefined;
    const answer = await cluster.ask("POST", resourcePath(resource, namespace), {
      query: { dryRun: "All" },
      body: object,
    });
    assert.equal(answer.status, 422, JSON.stringify(answer.body));
    assert.equal(answer.body.reason, "Invalid");
    const found = (answer.body.details.causes as Cause[]).map(
      ({ field, reason }) => `${field} ${reason.replace("FieldValue", "")}`,
    );
    return [...new Set(found)].sort();
  }

  const meta = (more: Json = {}): KubeObject["metadata"] => ({ name: "bad", namespace: cluster.namespace, ...more });
  const pod = (spec: Json): KubeObject => ({ apiVersion: "v1", kind: "Pod", metadata: meta(), spec });
  const container = (more: Json = {}): Json => ({ name: "a", image: "x", ...more });
  const podWith = (more: Json): KubeObject => pod({ containers: [container(more)] });
  const service = (spec: Json): KubeObject => ({ apiVersion: "v1", kind: "Service", metadata: meta(), spec });

  it("names", async () => {
    const map = (metadata: Json): KubeObject => ({ apiVersion: "v1", kind: "ConfigMap", metadata: meta(metadata) });
    assert.deepEqual(await causes(map({ name: "Bad_Name" })), ["metadata.name Invalid"]);
    assert.deepEqual(await causes(map({ labels: { "a b": "x" } })), ["metadata.labels Invalid"]);
    assert.deepEqual(await causes(map({ labels: { a: "x y" } })), ["metadata.labels Invalid"]);
    assert.deepEqual(await causes(map({ annotations: { "a b": "x" } })), ["metadata.annotations Invalid"]);
    assert.deepEqual(await causes({ ...map({}), data: { "a b": "x" } }), ["data[a b] Invalid"]);
    assert.deepEqual(await causes(service({ ports: [{ port: 80 }] })).catch(() => ["accepted"]), ["accepted"]);
    const digits = service({ ports: [{ port: 80 }] });
    digits.metadata.name = "1st";
    assert.deepEqual(await causes(digits), ["metadata.name Invalid"]);
  });

  it("pods", async () => {
    assert.deepEqual(await causes(pod({ containers: [] })), ["spec.containers Required"]);
    assert.deepEqual(await causes(podWith({ image: "" })), ["spec.containers[0].image Required"]);
    assert.deepEqual(await causes(podWith({ name: "A" })), ["spec.containers[0].name Invalid"]);
    assert.deepEqual(await causes(pod({ containers: [container(), container()] })), [
      "spec.containers[1].name Duplicate",
    ]);
    assert.deepEqual(await causes(podWith({ ports: [{ containerPort: 0 }] })), [
      "spec.containers[0].ports[0].containerPort Required",
    ]);
    assert.deepEqual(await causes(podWith({ ports: [{ containerPort: 70000 }] })), [
      "spec.containers[0].ports[0].containerPort Invalid",
    ]);
    assert.deepEqual(await causes(podWith({ ports: [{ containerPort: 1, name: "a-name-much-too-long" }] })), [
      "spec.containers[0].ports[0].name Invalid",
    ]);
    assert.deepEqual(await causes(podWith({ volumeMounts: [{ name: "none", mountPath: "/a" }] })), [
      "spec.containers[0].volumeMounts[0].name NotFound",
    ]);
    assert.deepEqual(await causes(podWith({ readinessProbe: {} })), ["spec.containers[0].readinessProbe Required"]);
    assert.deepEqual(await causes(podWith({ readinessProbe: { httpGet: { port: 80 }, tcpSocket: { port: 80 } } })), [
      "spec.containers[0].readinessProbe.tcpSocket Forbidden",
    ]);
    assert.deepEqual(await causes(podWith({ livenessProbe: { tcpSocket: { port: 80 }, successThreshold: 2 } })), [
      "spec.containers[0].livenessProbe.successThreshold Invalid",
    ]);
    assert.deepEqual(await causes(podWith({ resources: { requests: { memory: "2Gi" }, limits: { memory: "1Gi" } } })), [
      "spec.containers[0].resources.requests Invalid",
    ]);
    assert.deepEqual(await causes(pod({ containers: [container()], restartPolicy: "Sometimes" })), [
      "spec.restartPolicy NotSupported",
    ]);
    assert.deepEqual(
      await causes(
        pod({
          containers: [container()],
          initContainers: [{ name: "i", image: "x", readinessProbe: { tcpSocket: { port: 1 } } }],
        }),
      ),
      ["spec.initContainers[0].readinessProbe Forbidden"],
    );
    assert.deepEqual(await causes(pod({ containers: [container()], volumes: [{ name: "v", configMap: {} }] })), [
      "spec.volumes[0].configMap.name Required",
    ]);
    assert.deepEqual(
      await causes(
        pod({
          containers: [container()],
          volumes: [
            { name: "v", projected: { sources: [{ serviceAccountToken: { path: "t", expirationSeconds: 60 } }] } },
          ],
        }),
      ),
      ["spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds Invalid"],
    );
  });

  it("workloads", async () => {
    const broken = (spec: Json): KubeObject => deployment(cluster.namespace, "bad", spec);
    assert.deepEqual(await causes(broken({ selector: { matchLabels: { app: "other" } } })), [
      "spec.template.metadata.labels Invalid",
    ]);
    assert.deepEqual(await causes(broken({ selector: undefined })), [
      "spec.selector Required",
      "spec.template.metadata.labels Invalid",
    ]);
    assert.deepEqual(await causes(broken({ replicas: -1 })), ["spec.replicas Invalid"]);
    assert.deepEqual(await causes(broken({ strategy: { type: "Sideways" } })), ["spec.strategy NotSupported"]);
    assert.deepEqual(await causes(broken({ strategy: { type: "Recreate", rollingUpdate: { maxSurge: 1 } } })), [
      "spec.strategy.rollingUpdate Forbidden",
    ]);
    assert.deepEqual(await causes(broken({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } })), [
      "spec.strategy.rollingUpdate.maxUnavailable Invalid",
    ]);
  });

  it("services", async () => {
    assert.deepEqual(await causes(service({})), ["spec.ports Required"]);
    assert.deepEqual(await causes(service({ ports: [{ port: 0 }] })), [
      "spec.ports[0].port Invalid",
      "spec.ports[0].targetPort Invalid",
    ]);
    assert.deepEqual(await causes(service({ ports: [{ port: 1 }, { port: 2 }] })), [
      "spec.ports[0].name Required",
      "spec.ports[1].name Required",
    ]);
    assert.deepEqual(
      await causes(
        service({
          ports: [
            { name: "a", port: 1 },
            { name: "a", port: 2 },
          ],
        }),
      ),
      ["spec.ports[1].name Duplicate"],
    );
    assert.deepEqual(await causes(service({ type: "Other", ports: [{ port: 1 }] })), ["spec.type NotSupported"]);
  });

  it("roles, bindings, webhooks, APIServices, secrets", async () => {
    const rbac = "rbac.authorization.k8s.io/v1";
    assert.deepEqual(
      await causes({
        apiVersion: rbac,
        kind: "Role",
        metadata: meta(),
        rules: [{ apiGroups: [""], resources: ["pods"] }],
      } as KubeObject),
      ["rules[0].verbs Required"],
    );
    assert.deepEqual(
      await causes({
        apiVersion: rbac,
        kind: "RoleBinding",
        metadata: meta(),
        roleRef: { kind: "Thing", name: "x" },
      } as KubeObject),
      ["roleRef.kind NotSupported"],
    );
    const webhook = (more: Json): KubeObject => ({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name: "weft-contract-bad" },
      webhooks: [
        {
          name: "a.weft.dev",
          admissionReviewVersions: ["v1"],
          sideEffects: "None",
          clientConfig: { url: "https://127.0.0.1/" },
          ...more,
        },
      ],
    });
    assert.deepEqual(await causes(webhook({ sideEffects: undefined })), ["webhooks[0].sideEffects Required"]);
    assert.deepEqual(await causes(webhook({ name: "short" })), ["webhooks[0].name Invalid"]);
    assert.deepEqual(await causes(webhook({ timeoutSeconds: 31 })), ["webhooks[0].timeoutSeconds Invalid"]);
    assert.deepEqual(
      await causes({
        apiVersion: "apiregistration.k8s.io/v1",
        kind: "APIService",
        metadata: { name: "v1.wrong" },
        spec: {
          group: "right",
          version: "v1",
          groupPriorityMinimum: 1,
          versionPriority: 1,
          service: { name: "a", namespace: "b" },
        },
      }),
      ["metadata.name Invalid"],
    );
    assert.deepEqual(
      await causes({
        apiVersion: "v1",
        kind: "Secret",
        metadata: meta(),
        type: "kubernetes.io/tls",
        data: {},
      } as KubeObject),
      ["data[tls.crt] Required", "data[tls.key] Required"],
    );
  });

  it("what may not change", async () => {
    const path = `/apis/apps/v1/namespaces/${cluster.namespace}/deployments`;
    await cluster.ask("POST", path, { body: deployment(cluster.namespace, "fixed") });
    const headers = { "content-type": "application/merge-patch+json" };
    const labels = { app: "other" };
    const body = { spec: { selector: { matchLabels: labels }, template: { metadata: { labels } } } };
    const answer = await cluster.ask("PATCH", `${path}/fixed`, { headers, body });
    assert.equal(answer.status, 422);
    assert.deepEqual(
      answer.body.details.causes.map(({ field, reason }: Cause) => [field, reason]),
      [["spec.selector", "FieldValueInvalid"]],
    );
    assert.match(answer.body.message, /field is immutable/);
    const binding = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: meta({ name: "fixed" }),
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "a" },
    };
    const bindings = `/apis/rbac.authorization.k8s.io/v1/namespaces/${cluster.namespace}/rolebindings`;
    await cluster.ask("POST", bindings, { body: binding });
    const moved = await cluster.ask("PATCH", `${bindings}/fixed`, { headers, body: { roleRef: { name: "b" } } });
    assert.equal(moved.status, 422);
    assert.match(moved.body.message, /cannot change roleRef/);
  });
});
