import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { targetPort } from "../../../runtime/controller/destination/profile.ts";
import {
  type PodView,
  projectPod,
  projectService,
  projectSlice,
  type ServiceView,
  type SliceView,
} from "../../../runtime/controller/destination/projections.ts";
import { podLabels } from "../../../runtime/controller/destination/weighted-address.ts";

function podOf(parts: { metadata?: object; spec?: object; status?: object }): PodView {
  return projectPod({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop", uid: "u", ...parts.metadata },
    spec: parts.spec ?? {},
    status: parts.status ?? {},
  } as unknown as PodView);
}

describe("what is kept of a pod", () => {
  it("is little", () => {
    const pod = podOf({
      metadata: {
        labels: { app: "web", "linkerd.io/control-plane-ns": "weft" },
        annotations: { "weft.dev/redirect-rules": "long", "config.linkerd.io/opaque-ports": "1" },
        finalizers: ["x"],
      },
      spec: { containers: [{ name: "app", env: [{ name: "SECRET", value: "s" }] }], nodeName: "n1" },
    });
    assert.deepEqual(pod.metadata.labels, { "linkerd.io/control-plane-ns": "weft" });
    assert.deepEqual(pod.metadata.annotations, { "config.linkerd.io/opaque-ports": "1" });
    assert.equal(JSON.stringify(pod).includes("SECRET"), false);
    assert.equal(pod.serviceAccount, "default");
  });

  it("knows paths of HTTP probes by port, named ones too, without query; none where there is no proxy", () => {
    const app = {
      name: "app",
      ports: [
        { name: "http", containerPort: 8080 },
        { containerPort: 53, protocol: "UDP" },
      ],
      livenessProbe: { httpGet: { path: "/live?x=1", port: "http" } },
      readinessProbe: { httpGet: { port: 9000 } },
      startupProbe: { httpGet: { path: "/start", port: 8443, scheme: "HTTPS" } },
    };
    const sidecar = {
      name: "linkerd-proxy",
      restartPolicy: "Always",
      env: [{ name: "LINKERD2_PROXY_ADMIN_LISTEN_ADDR", value: "[::]:5191" }],
      readinessProbe: { httpGet: { path: "/ready", port: 5191 } },
    };
    const pod = podOf({
      spec: { containers: [app], initContainers: [sidecar, { name: "once", ports: [{ containerPort: 1 }] }] },
    });
    assert.deepEqual(pod.probes, [
      { port: 8080, path: "/live" },
      { port: 9000, path: "/" },
      { port: 5191, path: "/ready" },
    ]);
    assert.deepEqual(pod.proxy, { inbound: 4143, admin: 5191, control: 4190 });
    assert.deepEqual(pod.ports, [{ port: 8080, name: "http" }]);
    assert.deepEqual(podOf({ spec: { containers: [app] } }).probes, []);
  });

  it("names its owner as the injector wrote it, or as Kubernetes names ReplicaSets", () => {
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-5d9f", uid: "1", controller: true };
    const injected = podOf({
      metadata: { labels: { "linkerd.io/proxy-cronjob": "nightly" }, ownerReferences: [{ ...owner, kind: "Job" }] },
    });
    assert.equal(podLabels(injected, "z")["cronjob"], "nightly");
    const plain = podOf({ metadata: { labels: { "pod-template-hash": "5d9f" }, ownerReferences: [owner] } });
    assert.equal(podLabels(plain, "z")["deployment"], "web");
    const bare = podOf({ metadata: { ownerReferences: [owner] } });
    assert.equal(podLabels(bare, "z")["replicaset"], "web-5d9f");
  });

  it("answers for a port of its node with its own port", () => {
    const pod = podOf({
      spec: { containers: [{ name: "app", ports: [{ containerPort: 8080, hostPort: 80 }] }] },
      status: { podIPs: [{ ip: "10.0.0.1" }], hostIP: "192.168.0.1" },
    });
    assert.deepEqual(targetPort(pod, "192.168.0.1", 80), { ip: "10.0.0.1", port: 8080 });
    assert.deepEqual(targetPort(pod, "10.0.0.1", 8080), { ip: "10.0.0.1", port: 8080 });
  });
});

describe("what is kept of Services and EndpointSlices", () => {
  const service = (spec: object): ServiceView =>
    projectService({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "n" },
      spec,
    } as unknown as ServiceView);

  it("leaves out UDP and headless addresses", () => {
    const view = service({
      clusterIP: "None",
      clusterIPs: ["None"],
      ports: [
        { port: 53, protocol: "UDP" },
        { name: "h", port: 80, appProtocol: "http" },
      ],
      internalTrafficPolicy: "Local",
    });
    assert.deepEqual(
      [view.clusterIps, view.ports, view.localOnly],
      [[], [{ port: 80, name: "h", appProtocol: "http" }], true],
    );
    assert.deepEqual(service({ clusterIP: "10.0.0.1" }).clusterIps, ["10.0.0.1"]);
    assert.equal(service({ type: "ExternalName" }).external, true);
  });

  it("takes an unknown state for ready, and tells which ending endpoint still answers", () => {
    const slice = projectSlice({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "s-1", namespace: "n", labels: { "kubernetes.io/service-name": "s" } },
      addressType: "IPv4",
      endpoints: [
        { addresses: ["10.0.0.1"] },
        { addresses: ["10.0.0.2"], conditions: { ready: false, serving: true, terminating: true } },
        { addresses: ["10.0.0.3"], conditions: { ready: false, serving: true } },
      ],
      ports: [{ port: 80 }, { name: "u", port: 53, protocol: "UDP" }, { name: "all" }],
    } as unknown as SliceView);
    assert.equal(slice.service, "n/s");
    assert.deepEqual(slice.ports, [{ name: "", port: 80 }]);
    assert.deepEqual(
      slice.endpoints.map(({ ready, serving }) => [ready, serving]),
      [
        [true, false],
        [false, true],
        [false, false],
      ],
    );
  });
});
