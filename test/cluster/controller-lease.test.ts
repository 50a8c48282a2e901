import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { createLog } from "../../runtime/controller/config/log.ts";
import { LeaderLease, type Lease } from "../../runtime/controller/lease/leader-lease.ts";
import { PkiKeeper } from "../../runtime/controller/pki/keeper.ts";
import { readTlsSecret, type Secret } from "../../runtime/controller/pki/tls-secret.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient } from "../../runtime/kube/types.ts";
import { controlSecret } from "../../runtime/model/control-plane-rbac.ts";
import { certificatesFromPem } from "../../runtime/x509/pem.ts";
import { clusterClient, createNamespace, eventually } from "./support/cluster.ts";
import { meshConfig } from "./support/test-controller.ts";

const log = createLog("test", "error");
const DAY_MS = 86_400_000;

describe("what only one replica does, on a real API server", () => {
  let client: KubeClient;
  let namespace: string;

  before(async () => {
    client = await clusterClient();
    namespace = await createNamespace(client, "weft-ctl");
  });
  after(async () => {
    await client.delete(resource.namespaces, namespace);
    client.transport.close();
  });

  const candidate = (name: string, identity: string): LeaderLease =>
    new LeaderLease(client, {
      namespace,
      name,
      identity,
      log,
      durationMs: 2_000,
      renewDeadlineMs: 1_500,
      retryMs: 100,
    });

  it("takes a Lease only after its holder has been silent for its whole duration", async () => {
    // Long expired by the clock on the wall, which must not count: it may be another machine's.
    const silent: Lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "silent", namespace },
      spec: {
        holderIdentity: "dead",
        leaseDurationSeconds: 2,
        renewTime: "2020-01-01T00:00:00.000000Z",
        leaseTransitions: 4,
      },
    };
    await client.create<Lease>(resource.leases, silent);
    const began = performance.now();
    const lease = candidate("silent", "me");
    lease.start();
    await eventually(() => lease.holding || undefined, 5_000);
    const waited = performance.now() - began;
    assert.ok(waited > 1_900 && waited < 3_500, `${waited} ms`);
    const taken = await client.get<Lease>(resource.leases, "silent", namespace);
    assert.deepEqual([taken.spec?.holderIdentity, taken.spec?.leaseTransitions], ["me", 5]);
    await lease.stop();
    const released = await client.get<Lease>(resource.leases, "silent", namespace);
    assert.equal(released.spec?.holderIdentity ?? "", "");
  });

  it("has one holder among many, who keeps it while it renews", async () => {
    const leases = Array.from({ length: 5 }, (_, at) => candidate("many", `replica-${at}`));
    const changes: string[] = [];
    for (const [at, lease] of leases.entries()) {
      lease.onChange((holding) => changes.push(`${at} ${holding}`));
      lease.start();
    }
    await eventually(() => leases.some(({ holding }) => holding) || undefined);
    const end = Date.now() + 3_000;
    while (Date.now() < end) {
      assert.equal(leases.filter(({ holding }) => holding).length, 1);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(changes.length, 1);
    await Promise.all(leases.map((lease) => lease.stop()));
  });

  it("is no holder any more when somebody took the Lease away", async () => {
    const lease = candidate("robbed", "me");
    lease.start();
    await eventually(() => lease.holding || undefined);
    await client.patch(resource.leases, "robbed", namespace, {
      spec: { holderIdentity: "thief", leaseDurationSeconds: 3_600 },
    });
    await eventually(() => !lease.holding || undefined, 2_000);
    await lease.stop();
    assert.equal((await client.get<Lease>(resource.leases, "robbed", namespace)).spec?.holderIdentity, "thief");
  });

  it("renews what it made when a third of its life is left, and keeps what is fresh", async () => {
    const keeper = new PkiKeeper(client, meshConfig(namespace), log);
    const read = (name: string): Promise<Secret> => client.get<Secret>(resource.secrets, name, namespace);
    const now = Date.now();
    await keeper.reconcile();
    const names = Object.values(controlSecret);
    const before = new Map(await Promise.all(names.map(async (name) => [name, await read(name)] as const)));

    await keeper.reconcile(new Date(now + 200 * DAY_MS));
    for (const name of names) {
      assert.equal((await read(name)).metadata.resourceVersion, before.get(name)?.metadata.resourceVersion, name);
    }

    const later = new Date(now + 250 * DAY_MS);
    await keeper.reconcile(later);
    const leafOf = (secret: Secret | undefined): X509Certificate =>
      new X509Certificate(readTlsSecret(secret as Secret).certificate);
    for (const name of names) {
      const [old, current] = [leafOf(before.get(name)), leafOf(await read(name))];
      const lasts = name === controlSecret.trustAnchor;
      assert.equal(current.fingerprint256 === old.fingerprint256, lasts, name);
      assert.ok(current.validToDate.getTime() > now + 600 * DAY_MS, name);
    }
    // API servers that know only the old authority, or only the new one, both find it.
    const serving = readTlsSecret(await read(controlSecret.injectorTls));
    const [, previous] = certificatesFromPem(serving.ca ?? "");
    const [oldAuthority] = certificatesFromPem(readTlsSecret(before.get(controlSecret.injectorTls) as Secret).ca ?? "");
    assert.equal(previous?.fingerprint256, oldAuthority?.fingerprint256);
    // The new issuer comes from the same anchor: proxies need to learn nothing.
    const issuer = readTlsSecret(await read(controlSecret.issuer));
    const [anchor] = certificatesFromPem(issuer.ca ?? "");
    assert.equal(anchor?.fingerprint256, leafOf(before.get(controlSecret.trustAnchor)).fingerprint256);
  });
});
