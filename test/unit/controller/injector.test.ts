import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decide } from "../../../runtime/controller/injector/decision.ts";
import { injectionPatch } from "../../../runtime/controller/injector/patch.ts";
import type { Container, Pod } from "../../../runtime/controller/injector/pod.ts";
import { inboundPorts } from "../../../runtime/controller/injector/proxy-env.ts";
import { proxySettings } from "../../../runtime/controller/injector/settings.ts";
import { applyPatch, mesh, pod } from "./support.ts";

const INJECT = "linkerd.io/inject";
const enabled = { [INJECT]: "enabled" };

function inject(before: Pod, namespaceAnnotations: Record<string, string> = {}): { after: Pod; warnings: string[] } {
  const { operations, warnings } = injectionPatch({
    pod: before,
    namespace: "shop",
    namespaceAnnotations,
    owner: { apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "1" },
    ingress: false,
    mesh,
    trustBundle: "PEM",
  });
  return { after: applyPatch(before, operations), warnings };
}

const env = (of: Container | undefined, name: string): string | undefined =>
  of?.env?.find((entry) => entry.name === name)?.value;
const names = (containers: readonly Container[] | undefined): string[] => (containers ?? []).map(({ name }) => name);

describe("who gets a proxy", () => {
  const cases: readonly [string, Pod, Record<string, string>, boolean | string][] = [
    ["nobody asked", pod(), {}, "injection_enable_annotation_absent"],
    ["the namespace asks", pod(), enabled, true],
    ["the pod asks", pod({ metadata: { annotations: enabled } }), {}, true],
    ["the pod asks against its namespace", pod({ metadata: { annotations: enabled } }), { [INJECT]: "disabled" }, true],
    [
      "the pod declines",
      pod({ metadata: { annotations: { [INJECT]: "disabled" } } }),
      enabled,
      "injection_disable_annotation_present",
    ],
    [
      "a word nobody knows, at the pod",
      pod({ metadata: { annotations: { [INJECT]: "yes" } } }),
      enabled,
      "invalid_inject_annotation_at_workload",
    ],
    ["a word nobody knows, at the namespace", pod(), { [INJECT]: "true" }, "invalid_inject_annotation_at_ns"],
    ["the host's network", pod({ spec: { hostNetwork: true } }), enabled, "host_network_enabled"],
    [
      "a proxy already",
      pod({ spec: { initContainers: [{ name: "linkerd-proxy" }] } }),
      enabled,
      "sidecar_already_exists",
    ],
    [
      "another mesh's proxy under another name",
      pod({ spec: { containers: [{ name: "p", image: "docker.io/istio/proxyv2:1.25" }] } }),
      enabled,
      "sidecar_already_exists",
    ],
    [
      "no token",
      pod({ spec: { automountServiceAccountToken: false } }),
      enabled,
      "disabled_automount_service_account_token_account",
    ],
  ];
  for (const [what, subject, annotations, expected] of cases) {
    it(what, () => {
      const decision = decide(subject, annotations);
      assert.equal(decision.inject ? true : decision.reason, expected);
    });
  }

  it("ingress is enabled with another mode", () => {
    const decision = decide(pod({ metadata: { annotations: { [INJECT]: "ingress" } } }), {});
    assert.ok(decision.inject && decision.ingress);
  });
});

describe("what a proxy gets", () => {
  it("stands first among init containers, as a sidecar, with the application unchanged", () => {
    const before = pod({ spec: { initContainers: [{ name: "migrate" }], volumes: [{ name: "data" }] } });
    const { after } = inject(before, enabled);
    assert.deepEqual(names(after.spec.initContainers), ["linkerd-init", "linkerd-proxy", "migrate"]);
    assert.equal(after.spec.initContainers?.[1]?.restartPolicy, "Always");
    assert.deepEqual(after.spec.containers, before.spec.containers);
    assert.equal(after.spec.volumes?.[0]?.name, "data");
    assert.deepEqual(after.metadata.labels, {
      "linkerd.io/control-plane-ns": "weft",
      "linkerd.io/workload-ns": "shop",
      "linkerd.io/proxy-deployment": "web",
    });
  });

  it("is an ordinary container, started first and waited for, where sidecars are declined", () => {
    const annotations = { "config.linkerd.io/proxy-enable-native-sidecar": "false" };
    const { after } = inject(pod({ metadata: { annotations } }));
    assert.deepEqual(names(after.spec.initContainers), ["linkerd-init"]);
    assert.deepEqual(names(after.spec.containers), ["linkerd-proxy", "app"]);
    const proxy = after.spec.containers[0] as unknown as Record<string, unknown>;
    assert.ok(proxy["lifecycle"] !== undefined && proxy["startupProbe"] === undefined);
    assert.equal(proxy["restartPolicy"], undefined);
  });

  it("knows the ports of the application and of its probes", () => {
    const subject = pod({
      spec: {
        containers: [
          {
            name: "a",
            ports: [{ containerPort: 8080 }, { containerPort: 53, protocol: "UDP" }],
            livenessProbe: { httpGet: { port: 9000 } },
            readinessProbe: { httpGet: { port: "http" } },
          },
          { name: "b", ports: [{ containerPort: 443 }] },
        ],
        initContainers: [{ name: "once", ports: [{ containerPort: 1 }] }],
      },
    });
    assert.equal(inboundPorts(subject), "443,8080,9000");
  });

  it("takes annotations of the pod before the namespace's before the mesh's", () => {
    const annotations = {
      "config.linkerd.io/opaque-ports": "http,9000-9010",
      "config.linkerd.io/skip-outbound-ports": "25,3306",
      "config.linkerd.io/skip-subnets": "10.1.0.0/16",
      "config.linkerd.io/proxy-additional-env": '[{"name":"A","value":"pod"}]',
    };
    const { after, warnings } = inject(pod({ metadata: { annotations } }), {
      "config.linkerd.io/opaque-ports": "1",
      "config.linkerd.io/default-inbound-policy": "deny",
      "config.linkerd.io/proxy-additional-env": '[{"name":"A","value":"ns"},{"name":"B","value":"ns"}]',
      "unrelated.example/x": "y",
    });
    assert.deepEqual(warnings, []);
    const proxy = after.spec.initContainers?.[1];
    assert.equal(env(proxy, "LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION"), "8080,9000-9010");
    assert.equal(env(proxy, "LINKERD2_PROXY_INBOUND_DEFAULT_POLICY"), "deny");
    assert.deepEqual([env(proxy, "A"), env(proxy, "B")], ["pod", "ns"]);
    assert.equal(after.metadata.annotations?.["config.linkerd.io/default-inbound-policy"], "deny");
    assert.equal(after.metadata.annotations?.["config.linkerd.io/opaque-ports"], "http,9000-9010");
    assert.equal(after.metadata.annotations?.["unrelated.example/x"], undefined);
    const rules = after.metadata.annotations?.["weft.dev/redirect-rules"] ?? "";
    assert.match(rules, /PROXY_INIT_OUTPUT -p tcp -m multiport --dports 25,3306 /);
    assert.match(rules, /PROXY_INIT_REDIRECT -s 10\.1\.0\.0\/16 /);
  });

  it("writes down which of its ports are opaque by default", () => {
    const subject = pod({
      spec: { containers: [{ name: "db", ports: [{ containerPort: 5432 }, { containerPort: 80 }] }] },
    });
    const { after } = inject(subject);
    assert.equal(after.metadata.annotations?.["config.linkerd.io/opaque-ports"], "5432");
    assert.equal(inject(pod()).after.metadata.annotations?.["config.linkerd.io/opaque-ports"], undefined);
  });

  it("ignores values that make no sense, and says so", () => {
    const annotations = {
      "config.linkerd.io/proxy-cpu-limit": "lots",
      "config.linkerd.io/skip-inbound-ports": "80,eighty,99999",
      "config.linkerd.io/skip-subnets": "10.0.0.0/33",
      "config.linkerd.io/default-inbound-policy": "open",
      "config.linkerd.io/proxy-additional-env": "{}",
      "config.linkerd.io/shutdown-grace-period": "soon",
    };
    const { settings, warnings } = proxySettings(pod({ metadata: { annotations } }), {}, mesh);
    assert.equal(warnings.length, 7);
    assert.deepEqual(settings.resources, mesh.proxy.resources);
    assert.deepEqual(settings.skipInboundPorts, [{ first: 80, last: 80 }]);
    assert.deepEqual(settings.skipSubnets, []);
    assert.equal(settings.defaultInboundPolicy, "all-unauthenticated");
  });

  it("is tapped only where nobody declines", () => {
    const tapName = "LINKERD2_PROXY_TAP_SVC_NAME";
    const declined = { "viz.linkerd.io/disable-tap": "true" };
    const controller = "weft-controller.weft.serviceaccount.identity.weft.cluster.local";
    assert.equal(env(inject(pod()).after.spec.initContainers?.[1], tapName), controller);
    assert.equal(env(inject(pod(), declined).after.spec.initContainers?.[1], tapName), undefined);
    const own = inject(pod({ metadata: { annotations: declined } })).after;
    assert.equal(env(own.spec.initContainers?.[1], tapName), undefined);
    assert.equal(own.metadata.annotations?.["viz.linkerd.io/tap-enabled"], undefined);
  });
});
