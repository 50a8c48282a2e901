import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resourceOf } from "../../../runtime/kube/resources.ts";
import type { KubeObject } from "../../../runtime/kube/types.ts";
import { type Bundles, bundleOf } from "../../../runtime/mesh/bundle.ts";
import { controlPlaneObjects } from "../../../runtime/mesh/control-plane.ts";
import type { MeshConfig } from "../../../runtime/model/mesh-config.ts";

const bundle = (text: string) => bundleOf(new Map([["main.cjs.br", Buffer.from(text)]]));
const LOADER = "const $$ = 1; const text = `$(HOME) $${text}`;";
const bundles: Bundles = { proxy: bundle("proxy"), controller: bundle("controller"), loader: LOADER };
const config: MeshConfig = {
  version: "0.1.0",
  controlPlaneNamespace: "weft",
  trustDomain: "cluster.local",
  clusterDomain: "cluster.local",
  clusterNetworks: ["10.0.0.0/8"],
  images: { node: "node:24", init: "iptables:1", pullPolicy: "IfNotPresent" },
  proxy: { hash: bundles.proxy.hash, digests: bundles.proxy.digests, loader: LOADER, logLevel: "info", resources: {} },
  defaultInboundPolicy: "all-unauthenticated",
  opaquePorts: [25],
};

interface Container {
  readonly name: string;
  readonly command: string[];
  readonly args: string[];
  readonly env: { name: string; value?: string }[];
  readonly securityContext: Record<string, unknown>;
}

function objects(replicas = 1, over: Partial<MeshConfig> = {}): KubeObject[] {
  return controlPlaneObjects({ ...config, ...over }, bundles, { replicas, proxyHashes: [] });
}

function podOf(all: readonly KubeObject[]): {
  metadata: { annotations: Record<string, string> };
  spec: { containers: Container[]; securityContext: Record<string, unknown> };
} {
  const spec = all.find(({ kind }) => kind === "Deployment")?.["spec"] as { template: ReturnType<typeof podOf> };
  return spec.template;
}

/** What the API server makes of `$` in a command (Kubernetes docs, "Define a Command and Arguments for a Container"). */
function expanded(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([A-Za-z_][\w.-]*)\)/g, (match, name: string | undefined) =>
    match === "$$" ? "$" : (env[name ?? ""] ?? match),
  );
}

describe("objects of the control plane", () => {
  it("are all labelled, so that an uninstall finds them", () => {
    for (const object of objects(2)) {
      assert.equal(object.metadata.labels?.["app.kubernetes.io/managed-by"], "weft", object.kind);
      assert.equal(object.metadata.labels?.["app.kubernetes.io/part-of"], "weft", object.kind);
      assert.doesNotThrow(() => resourceOf(object));
    }
  });

  it("never hold a caBundle: that field is the controller's", () => {
    assert.ok(!JSON.stringify(objects()).includes("caBundle"));
  });

  it("begin with the namespace; what the API server calls comes last", () => {
    const kinds = objects().map(({ kind }) => kind);
    assert.equal(kinds[0], "Namespace");
    const deployment = kinds.indexOf("Deployment");
    assert.ok(kinds.slice(deployment + 1).every((kind) => /^(MutatingWebhookConfiguration|APIService)$/.test(kind)));
    assert.equal(kinds.filter((kind) => kind === "APIService").length, 2);
  });

  it("have a disruption budget only where there is more than one replica", () => {
    assert.ok(!objects(1).some(({ kind }) => kind === "PodDisruptionBudget"));
    assert.ok(objects(2).some(({ kind }) => kind === "PodDisruptionBudget"));
  });

  it("run as the restricted level of Pod Security asks", () => {
    const { spec } = podOf(objects());
    assert.equal(spec.securityContext["runAsNonRoot"], true);
    assert.deepEqual(spec.securityContext["seccompProfile"], { type: "RuntimeDefault" });
    for (const { securityContext } of spec.containers) {
      assert.equal(securityContext["allowPrivilegeEscalation"], false);
      assert.equal(securityContext["readOnlyRootFilesystem"], true);
      assert.deepEqual(securityContext["capabilities"], { drop: ["ALL"] });
    }
  });

  it("hand the loader over as it is, whatever dollar signs it has", () => {
    for (const { command, args, name } of podOf(objects()).spec.containers) {
      assert.equal(expanded(command.at(-1) ?? "", { HOME: "/root" }), LOADER);
      assert.deepEqual(args, [name]);
    }
  });

  it("restart the control plane when its configuration changes, and not otherwise", () => {
    const annotations = (over: Partial<MeshConfig>) => podOf(objects(1, over)).metadata.annotations;
    assert.deepEqual(annotations({}), annotations({}));
    assert.notDeepEqual(annotations({}), annotations({ defaultInboundPolicy: "deny" }));
  });

  it("carry the digest of every file of the bundle in the pod's own spec", () => {
    for (const { env } of podOf(objects()).spec.containers) {
      const digests = env.find(({ name }) => name === "WEFT_BUNDLE_SHA256")?.value ?? "";
      assert.deepEqual(JSON.parse(digests), bundles.controller.digests);
    }
  });
});

describe("a bundle", () => {
  it("has a hash of its content that does not depend on the files' order", () => {
    const files: [string, Buffer][] = [
      ["a", Buffer.from("1")],
      ["b", Buffer.from("2")],
    ];
    const { hash } = bundleOf(new Map(files));
    assert.match(hash, /^[0-9a-f]{10}$/);
    assert.equal(bundleOf(new Map(files.toReversed())).hash, hash);
    assert.notEqual(bundleOf(new Map([["a", Buffer.from("1")]])).hash, hash);
  });
});
