import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { resource, resourceOf } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { collectChecks } from "../../runtime/mesh/check.ts";
import { detectMesh } from "../../runtime/mesh/detect.ts";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { applyInstall, planInstall } from "../../runtime/mesh/install.ts";
import type { Plan } from "../../runtime/mesh/types.ts";
import { writeBaseline } from "./support/baseline.ts";
import { weft } from "./support/cli.ts";
import { takeInventory } from "./support/inventory.ts";
import { connectCluster, freshNamespace, installOptions, narrate, removeNamespace } from "./support/mesh.ts";

const NOWHERE = "localhost/weft-test-nowhere:1";

describe("an install", () => {
  let client: KubeClient;
  /** On a cluster that has a mesh already, what is new to it cannot be tried. */
  let fresh: boolean;

  before(async () => {
    client = await connectCluster();
    fresh = (await detectMesh(client)).kind === "absent";
    if (fresh) await writeBaseline(client, (await takeInventory(client)).objects);
  });

  after(() => client.transport.close());

  it("refuses beside a Linkerd, naming it and its version", async (test) => {
    if (!fresh) return test.skip("a mesh is installed");
    const namespace = await freshNamespace(client, "linkerd");
    try {
      await client.create(resource.deployments, linkerdDestination(namespace));
      await assert.rejects(planInstall(client, installOptions), (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.match(error.message, new RegExp(`^Linkerd edge-26\\.8\\.1 runs in namespace ${namespace}`));
        assert.match(error.hint ?? "", /Remove Linkerd first/);
        return true;
      });
      const { code, stdout } = await weft(["check", "--pre"]);
      assert.equal(code, 1);
      assert.match(stdout, /× no other mesh is installed\n {4}Linkerd edge-26\.8\.1 runs/);
    } finally {
      await removeNamespace(client, namespace);
    }
  });

  it("refuses where somebody else serves the tap API, naming whom", async (test) => {
    if (!fresh) return test.skip("a mesh is installed");
    const name = "v1alpha1.tap.linkerd.io";
    await client.create(resource.apiServices, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name },
      spec: {
        group: "tap.linkerd.io",
        version: "v1alpha1",
        groupPriorityMinimum: 1000,
        versionPriority: 100,
        service: { namespace: "linkerd-viz", name: "tap" },
      },
    });
    try {
      await assert.rejects(planInstall(client, installOptions), /belongs to Service linkerd-viz\/tap already/);
    } finally {
      await client.delete(resource.apiServices, name);
    }
  });

  it("says before it changes anything what it will make, and what the cluster makes itself", async (test) => {
    if (!fresh) return test.skip("a mesh is installed");
    const plan = await planInstall(client, installOptions);
    assert.equal(plan.objects[0]?.kind, "Namespace");
    for (const { action, kind, object } of plan.objects) {
      assert.ok(action === "create" || action === "in-cluster", `${kind}: ${action}`);
      assert.equal(object === undefined, action === "in-cluster");
    }
    const made = plan.objects
      .filter(({ action }) => action === "in-cluster")
      .map(({ kind, name }) => `${kind} ${name}`);
    assert.ok(made.includes("Secret linkerd-identity-issuer"));
    assert.ok(made.includes("APIService v1alpha1.tap.linkerd.io"));
    assert.equal((await detectMesh(client)).kind, "absent");
  });

  it("without a terminal asks for --yes and changes nothing", async (test) => {
    if (!fresh) return test.skip("a mesh is installed");
    const { code, stdout, stderr } = await weft(["install"]);
    assert.equal(code, 1);
    assert.match(stdout, /\+ {2}Deployment +weft\/weft-controller/);
    assert.match(stderr, /nobody is here to agree\n {2}Add --yes\./);
    assert.equal((await detectMesh(client)).kind, "absent");
  });

  it("says which image cannot be pulled, and leaves nothing that the API server would call in vain", async (test) => {
    if (!fresh) return test.skip("a mesh is installed");
    const plan = await planInstall(client, { ...installOptions, nodeImage: NOWHERE });
    await assert.rejects(applyInstall(client, plan), (error: unknown) => {
      assert.ok(error instanceof MeshError, String(error));
      assert.match(
        error.message,
        new RegExp(`image ${NOWHERE} of container \\w+ of pod weft-controller-\\S+ cannot be pulled`),
      );
      assert.match(error.hint ?? "", /--node-image/);
      return true;
    });
    assert.equal(await client.find(resource.apiServices, "v1alpha1.tap.linkerd.io"), undefined);
    assert.equal(await client.find(resource.mutatingWebhookConfigurations, "weft-proxy-injector"), undefined);
  });

  it("stops where it is told to, and can be run again", async (test) => {
    if (!fresh) return test.skip("a mesh is installed");
    const plan = await planInstall(client, { ...installOptions, nodeImage: NOWHERE });
    const abort = new AbortController();
    const run = {
      signal: abort.signal,
      onProgress: ({ state }: { state: string }) => state === "waiting" && abort.abort(),
    };
    const began = performance.now();
    await assert.rejects(applyInstall(client, plan, run), { name: "AbortError" });
    assert.ok(performance.now() - began < 10_000);
  });

  it("ends when the mesh serves", async () => {
    await applyInstall(client, await planInstall(client, installOptions), { onProgress: narrate });
    const state = await detectMesh(client);
    assert.deepEqual(
      { kind: state.kind, ready: state.kind === "installed" && state.ready },
      { kind: "installed", ready: true },
    );
  });

  it("a second time changes nothing", async () => {
    const plan = await planInstall(client, installOptions);
    const changed = plan.objects.filter(({ action }) => action !== "unchanged");
    assert.deepEqual(
      changed.map(({ kind, name, action, detail }) => `${action} ${kind} ${name} ${detail}`),
      [],
    );
    const versions = await resourceVersions(client, plan);
    await applyInstall(client, plan);
    assert.deepEqual(await resourceVersions(client, plan), versions);
  });

  it("keeps what was decided before where an option is left out", async () => {
    const plan = await planInstall(client, { runtimeFolder: installOptions.runtimeFolder });
    assert.deepEqual(
      plan.objects.filter(({ action }) => action !== "unchanged").map(({ name }) => name),
      [],
    );
  });

  it("shows what an option would change, field by field", async () => {
    const plan = await planInstall(client, { ...installOptions, replicas: 2 });
    const deployment = plan.objects.find(({ kind }) => kind === "Deployment");
    assert.equal(deployment?.action, "update");
    assert.match(deployment?.detail ?? "", /spec\.replicas: 1 → 2/);
    assert.equal(plan.objects.find(({ kind }) => kind === "PodDisruptionBudget")?.action, "create");
  });

  it("runs two replicas where that is asked, and goes back to one", async () => {
    await applyInstall(client, await planInstall(client, { ...installOptions, replicas: 2 }), { onProgress: narrate });
    assert.ok(await client.find(resource.podDisruptionBudgets, "weft-controller", "weft"));
    assert.deepEqual(
      (await collectChecks(client)).filter(({ result }) => result === "error"),
      [],
    );
    // What is not asked for stays: two replicas.
    const same = await planInstall(client, installOptions);
    assert.deepEqual(
      same.objects.filter(({ action }) => action !== "unchanged"),
      [],
    );
    await applyInstall(client, await planInstall(client, { ...installOptions, replicas: 1 }), { onProgress: narrate });
    assert.equal(await client.find(resource.podDisruptionBudgets, "weft-controller", "weft"), undefined);
  });

  it("leaves caBundle to the controller, also when it is applied again with force", async () => {
    for (const name of ["v1alpha1.tap.linkerd.io", "v1alpha1.stats.weft.dev"]) {
      const service = await client.get<KubeObject & { spec: { caBundle?: string } }>(resource.apiServices, name);
      assert.match(Buffer.from(service.spec.caBundle ?? "", "base64").toString(), /BEGIN CERTIFICATE/);
      assert.deepEqual(managersOf(service, "f:caBundle"), ["weft-controller"]);
    }
    const plan = await planInstall(client, installOptions);
    for (const { object } of plan.objects) {
      if (object?.kind !== "MutatingWebhookConfiguration") continue;
      const applied = await client.apply(resourceOf(object), object, { fieldManager: "weft", force: true });
      assert.match(JSON.stringify(applied["webhooks"]), /"caBundle":"[A-Za-z0-9+/=]{100,}"/);
    }
  });

  it("ends with checks that are all well", async () => {
    const results = await collectChecks(client);
    assert.deepEqual(
      results.filter(({ result }) => result === "error" || result === "warning"),
      [],
    );
    assert.ok(results.length > 20);
    const { code, stdout } = await weft(["check", "-o", "json"]);
    assert.equal(code, 0);
    assert.equal((JSON.parse(stdout) as { success: boolean }).success, true);
  });

  it("is seen by weft version", async () => {
    const { code, stdout } = await weft(["version", "--short"]);
    assert.equal(code, 0);
    const [ours, server] = stdout.trim().split("\n");
    assert.equal(ours, server);
  });
});

function linkerdDestination(namespace: string): KubeObject {
  const labels = { "linkerd.io/control-plane-component": "destination" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "linkerd-destination",
      namespace,
      labels,
      annotations: { "linkerd.io/created-by": "linkerd/cli edge-26.8.1" },
    },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "destination", image: NOWHERE }] } },
    },
  };
}

async function resourceVersions(client: KubeClient, plan: Plan): Promise<Record<string, string | undefined>> {
  const versions: Record<string, string | undefined> = {};
  for (const { object } of plan.objects) {
    // A Deployment's status moves by itself; its generation does not.
    if (object === undefined) continue;
    const { name, namespace } = object.metadata;
    const { metadata } = await client.get(resourceOf(object), name, namespace);
    const stable = ["Deployment", "APIService"].includes(object.kind) ? metadata.generation : metadata.resourceVersion;
    versions[`${object.kind} ${name}`] = String(stable);
  }
  return versions;
}

/** Field managers that own a field of this name, anywhere in the object. */
function managersOf(object: KubeObject, field: string): string[] {
  const { managedFields = [] } = object.metadata as {
    managedFields?: { readonly manager: string; readonly fieldsV1: unknown }[];
  };
  return managedFields
    .filter(({ fieldsV1 }) => JSON.stringify(fieldsV1).includes(`"${field}"`))
    .map(({ manager }) => manager);
}
