import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resourceOf, resourcePath } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { type Answer, type Cluster, connect, type Json } from "./support/cluster.ts";

/** What the API server fills in, field by field: these are its answers, word for word. */
describe("what a manifest leaves out", () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await connect();
  });
  after(() => cluster.close());

  async function made(object: KubeObject): Promise<Answer["body"]> {
    const resource = resourceOf(object);
    const namespace = resource.namespaced ? cluster.namespace : undefined;
    const answer = await cluster.ask("POST", resourcePath(resource, namespace), {
      query: { dryRun: "All" },
      body: object,
    });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return answer.body;
  }
  const meta = (): KubeObject["metadata"] => ({ name: "bare", namespace: cluster.namespace });

  const podDefaults = {
    dnsPolicy: "ClusterFirst",
    restartPolicy: "Always",
    schedulerName: "default-scheduler",
    securityContext: {},
    terminationGracePeriodSeconds: 30,
  };
  const containerDefaults = {
    imagePullPolicy: "IfNotPresent",
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
  };

  it("deployments", async () => {
    const labels = { app: "bare" };
    const container = {
      name: "a",
      image: "x:1",
      ports: [{ containerPort: 80 }],
      env: [{ name: "N", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
      readinessProbe: { httpGet: { port: 80 } },
      resources: { limits: { cpu: 1 } },
    };
    const volumes = [
      { name: "c", configMap: { name: "m" } },
      { name: "e" },
      { name: "p", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } },
    ];
    const { spec } = await made({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: meta(),
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { containers: [container], initContainers: [{ name: "i", image: "y" }], volumes },
        },
      },
    });
    assert.deepEqual(spec, {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          ...podDefaults,
          containers: [
            {
              ...containerDefaults,
              name: "a",
              image: "x:1",
              ports: [{ containerPort: 80, protocol: "TCP" }],
              env: [{ name: "N", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } }],
              readinessProbe: {
                httpGet: { path: "/", port: 80, scheme: "HTTP" },
                failureThreshold: 3,
                periodSeconds: 10,
                successThreshold: 1,
                timeoutSeconds: 1,
              },
              resources: { limits: { cpu: "1" } },
            },
          ],
          initContainers: [{ ...containerDefaults, imagePullPolicy: "Always", name: "i", image: "y" }],
          volumes: [
            { name: "c", configMap: { name: "m", defaultMode: 420 } },
            { name: "e", emptyDir: {} },
            {
              name: "p",
              projected: {
                defaultMode: 420,
                sources: [{ serviceAccountToken: { path: "t", expirationSeconds: 3600 } }],
              },
            },
          ],
        },
      },
    });
  });

  it("pods, with the token of their service account", async () => {
    const { spec, status, metadata } = await made({
      apiVersion: "v1",
      kind: "Pod",
      metadata: meta(),
      spec: { containers: [{ name: "a", image: "x", resources: { limits: { cpu: "1", memory: "1Gi" } } }] },
    });
    const token = spec.volumes[0].name as string;
    assert.match(token, /^kube-api-access-[a-z0-9]{5}$/);
    assert.deepEqual(spec, {
      ...podDefaults,
      enableServiceLinks: true,
      preemptionPolicy: "PreemptLowerPriority",
      priority: 0,
      serviceAccount: "default",
      serviceAccountName: "default",
      containers: [
        {
          ...containerDefaults,
          imagePullPolicy: "Always",
          name: "a",
          image: "x",
          resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1", memory: "1Gi" } },
          volumeMounts: [{ name: token, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true }],
        },
      ],
      tolerations: ["not-ready", "unreachable"].map((name) => ({
        effect: "NoExecute",
        key: `node.kubernetes.io/${name}`,
        operator: "Exists",
        tolerationSeconds: 300,
      })),
      volumes: [
        {
          name: token,
          projected: {
            defaultMode: 420,
            sources: [
              { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
              { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
              {
                downwardAPI: {
                  items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
                },
              },
            ],
          },
        },
      ],
    });
    assert.deepEqual(status, { phase: "Pending", qosClass: "Guaranteed" });
    assert.equal(metadata.generation, 1);
  });

  it("services", async () => {
    const service = (spec: Json): KubeObject => ({ apiVersion: "v1", kind: "Service", metadata: meta(), spec });
    const { spec, status } = await made(service({ selector: { a: "b" }, ports: [{ port: 80 }] }));
    assert.match(spec.clusterIP, /^10\./);
    assert.deepEqual(spec, {
      clusterIP: spec.clusterIP,
      clusterIPs: [spec.clusterIP],
      internalTrafficPolicy: "Cluster",
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
      selector: { a: "b" },
      sessionAffinity: "None",
      type: "ClusterIP",
    });
    assert.deepEqual(status, { loadBalancer: {} });
    const headless = await made(
      service({ clusterIP: "None", selector: { a: "b" }, ports: [{ port: 80, targetPort: "web" }] }),
    );
    assert.equal(headless.spec.clusterIP, "None");
    assert.deepEqual(headless.spec.clusterIPs, ["None"]);
    assert.deepEqual(headless.spec.ports, [{ port: 80, protocol: "TCP", targetPort: "web" }]);
    const external = await made(service({ type: "ExternalName", externalName: "example.com" }));
    assert.deepEqual(external.spec, { externalName: "example.com", sessionAffinity: "None", type: "ExternalName" });
  });

  it("namespaces, secrets, bindings", async () => {
    const namespace = await made({ apiVersion: "v1", kind: "Namespace", metadata: { name: "weft-contract-bare" } });
    assert.deepEqual(namespace.metadata.labels, { "kubernetes.io/metadata.name": "weft-contract-bare" });
    assert.deepEqual(namespace.spec, { finalizers: ["kubernetes"] });
    assert.deepEqual(namespace.status, { phase: "Active" });
    const secret = await made({
      apiVersion: "v1",
      kind: "Secret",
      metadata: meta(),
      stringData: { a: "text" },
    } as KubeObject);
    assert.equal(secret.type, "Opaque");
    assert.deepEqual(secret.data, { a: "dGV4dA==" });
    assert.equal(secret.stringData, undefined);
    const binding = await made({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: meta(),
      roleRef: { kind: "Role", name: "r" },
      subjects: [
        { kind: "User", name: "u" },
        { kind: "ServiceAccount", name: "s" },
      ],
    } as KubeObject);
    assert.equal(binding.roleRef.apiGroup, "rbac.authorization.k8s.io");
    assert.deepEqual(binding.subjects, [
      { apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "u" },
      { kind: "ServiceAccount", name: "s" },
    ]);
  });

  it("webhooks and APIServices", async () => {
    const { webhooks, metadata } = await made({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name: "weft-contract-bare" },
      webhooks: [
        {
          name: "a.weft.dev",
          admissionReviewVersions: ["v1"],
          sideEffects: "None",
          clientConfig: { service: { name: "s", namespace: cluster.namespace } },
          rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] }],
        },
      ],
    });
    assert.equal(metadata.generation, 1);
    assert.deepEqual(webhooks, [
      {
        name: "a.weft.dev",
        admissionReviewVersions: ["v1"],
        clientConfig: { service: { name: "s", namespace: cluster.namespace, port: 443 } },
        failurePolicy: "Fail",
        matchPolicy: "Equivalent",
        namespaceSelector: {},
        objectSelector: {},
        reinvocationPolicy: "Never",
        rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], scope: "*" }],
        sideEffects: "None",
        timeoutSeconds: 10,
      },
    ]);
    const { spec } = await made({
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: "v1.contract.weft.dev" },
      spec: {
        group: "contract.weft.dev",
        version: "v1",
        groupPriorityMinimum: 1,
        versionPriority: 1,
        service: { name: "s", namespace: "n" },
      },
    });
    assert.equal(spec.service.port, 443);
  });
});
