import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as http2Connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createSecureContext, connect as tlsConnect } from "node:tls";
import { status } from "@grpc/grpc-js";
import { DestinationClient } from "../../runtime/api/service-clients.ts";
import { createIssuer, createTrustAnchor } from "../../runtime/controller/pki/authorities.ts";
import { tlsSecret } from "../../runtime/controller/pki/tls-secret.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../runtime/kube/types.ts";
import { controlSecret } from "../../runtime/model/control-plane-rbac.ts";
import { workloadIdentity } from "../../runtime/model/identity.ts";
import { IDENTITY_AUDIENCE, TRUST_ROOTS } from "../../runtime/model/names.ts";
import { dnsNames } from "../../runtime/x509/chain.ts";
import { generateKeyPair } from "../../runtime/x509/keys.ts";
import { createSigningRequest } from "../../runtime/x509/signing-request.ts";
import { clusterClient, createNamespace, eventually, serviceAccountToken } from "./support/cluster.ts";
import {
  certify,
  channelCredentials,
  channelOptions,
  meshConfig,
  startTestController,
  type TestController,
  TRUST_SPREAD_MS,
  trustRoots,
} from "./support/test-controller.ts";

describe("identity, on a real API server", () => {
  let client: KubeClient;
  let test: TestController;
  let token: string;
  let identity: string;
  const folder = mkdtempSync(join(tmpdir(), "weft-identity-"));
  const file = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  before(async () => {
    client = await clusterClient();
    test = await startTestController(client);
    token = await serviceAccountToken(client, test.namespace, "default", IDENTITY_AUDIENCE);
    identity = workloadIdentity(test.mesh, test.namespace, "default");
  });
  after(async () => {
    await test.stop();
    await client.delete(resource.namespaces, test.namespace);
    client.transport.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("makes anchor, issuer and serving certificates that OpenSSL accepts", async () => {
    const read = async (name: string): Promise<Record<string, string>> => {
      const secret = await eventually(() =>
        client.find<KubeObject & { data: Record<string, string> }>(resource.secrets, name, test.namespace),
      );
      return Object.fromEntries(
        Object.entries(secret.data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
      );
    };
    const roots = file("roots.pem", await trustRoots(test));
    const issuer = await read(controlSecret.issuer);
    execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", roots, file("issuer.pem", issuer["tls.crt"] ?? "")]);
    assert.equal(issuer["ca.crt"], await trustRoots(test));
    for (const [secret, service] of [
      [controlSecret.injectorTls, "weft-injector"],
      [controlSecret.vizTls, "weft-viz"],
    ] as const) {
      const material = await read(secret);
      const host = `${service}.${test.namespace}.svc`;
      execFileSync("openssl", [
        ...["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host],
        ...["-CAfile", file(`${secret}-ca.pem`, material["ca.crt"] ?? "")],
        file(`${secret}.pem`, material["tls.crt"] ?? ""),
      ]);
    }
  });

  it("gives the service account's leaf, chained to the trust roots", async () => {
    const { response, chainPem } = await certify(test, { identity, token });
    const leaf = new X509Certificate(response.leafCertificate);
    assert.deepEqual(dnsNames(leaf), [identity]);
    const hours = (leaf.validToDate.getTime() - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours < 24.1, `${hours} h`);
    assert.equal(response.validUntil?.getTime(), leaf.validToDate.getTime());
    const roots = file("roots.pem", await trustRoots(test));
    for (const purpose of ["sslserver", "sslclient"]) {
      const chain = file("chain.pem", chainPem);
      execFileSync("openssl", [
        ...["verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", identity],
        ...["-CAfile", roots, "-untrusted", chain, chain],
      ]);
    }
  });

  const refusals: readonly [string, () => Promise<Parameters<typeof certify>[1]>, status][] = [
    [
      "another identity than the token's",
      async () => ({ identity: workloadIdentity(test.mesh, test.namespace, "other"), token }),
      status.FAILED_PRECONDITION,
    ],
    [
      "a token for another audience",
      async () => ({
        identity,
        token: await serviceAccountToken(
          client,
          test.namespace,
          "default",
          "https://kubernetes.default.svc.cluster.local",
        ),
      }),
      status.FAILED_PRECONDITION,
    ],
    [
      "a token with a broken signature",
      async () => ({ identity, token: `${token.slice(0, -20)}${"A".repeat(20)}` }),
      status.FAILED_PRECONDITION,
    ],
    ["something that is no token", async () => ({ identity, token: "hello" }), status.INVALID_ARGUMENT],
    ["no identity", async () => ({ identity: "", token, csr: Buffer.from("x") }), status.INVALID_ARGUMENT],
    ["something that is no request", async () => ({ identity, token, csr: Buffer.from("x") }), status.INVALID_ARGUMENT],
    [
      "a request for another name",
      async () => ({ identity, token, csr: createSigningRequest("other.example", generateKeyPair().privateKey) }),
      status.FAILED_PRECONDITION,
    ],
  ];
  for (const [what, request, code] of refusals) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(certify(test, await request()), { code });
    });
  }

  it("lets nobody at discovery without a leaf of the mesh, and everybody with one", async () => {
    const ask = (context: ReturnType<typeof createSecureContext>): Promise<number> =>
      new Promise((resolve) => {
        const destination = new DestinationClient(
          `127.0.0.1:${test.controller.ports.destination}`,
          channelCredentials(context),
          channelOptions(test),
        );
        const stream = destination.get({ scheme: "k8s", path: "none.none.svc.cluster.local:80", contextToken: "" });
        stream.on("error", (error: Error & { code: number }) => {
          destination.close();
          resolve(error.code);
        });
        stream.on("data", () => {});
      });
    const ca = await trustRoots(test);
    assert.equal(await ask(createSecureContext({ ca })), status.UNAVAILABLE);

    const stranger = createTrustAnchor(test.mesh, new Date());
    const strange = createIssuer(test.mesh, stranger, new Date());
    const foreign = createSecureContext({ ca, cert: strange.certificate, key: strange.privateKey });
    assert.equal(await ask(foreign), status.UNAVAILABLE);

    const { chainPem, keyPem } = await certify(test, { identity, token });
    assert.equal(await ask(createSecureContext({ ca, cert: chainPem, key: keyPem })), status.NOT_FOUND);
  });

  it("speaks HTTP/2 with clients that name no protocol (ALPN), as Linkerd's proxies do; TLS 1.3 only", async () => {
    const port = test.controller.ports.identity;
    const ca = await trustRoots(test);
    const session = http2Connect("http://controller", {
      createConnection: () => tlsConnect({ host: "127.0.0.1", port, ca, servername: test.identity }),
    });
    const answer = await new Promise<Record<string, unknown>>((resolve, reject) => {
      session.on("error", reject);
      const request = session.request({
        ":method": "POST",
        ":path": "/io.linkerd.proxy.identity.Identity/Certify",
        "content-type": "application/grpc",
        te: "trailers",
      });
      request.on("response", (headers) => resolve(headers));
      request.on("error", reject);
      request.end(Buffer.from([0, 0, 0, 0, 0]));
    });
    assert.equal(answer["grpc-status"], String(status.INVALID_ARGUMENT));
    session.destroy();

    const old = tlsConnect({ host: "127.0.0.1", port, ca, servername: test.identity, maxVersion: "TLSv1.2" });
    await assert.rejects(new Promise((resolve, reject) => old.once("secureConnect", resolve).once("error", reject)), {
      code: /PROTOCOL|ECONNRESET|ALERT/,
    });
  });

  it("uses a new issuer after its anchor has had time to spread, and keeps open streams", async () => {
    const { chainPem, keyPem } = await certify(test, { identity, token });
    const ca = await trustRoots(test);
    const destination = new DestinationClient(
      `127.0.0.1:${test.controller.ports.destination}`,
      channelCredentials(createSecureContext({ ca, cert: chainPem, key: keyPem })),
      channelOptions(test),
    );
    const stream = destination.get({
      scheme: "k8s",
      path: "kubernetes.default.svc.cluster.local:443",
      contextToken: "",
    });
    let ended = false;
    stream.on("error", () => {
      ended = true;
    });
    await new Promise((resolve) => stream.once("data", resolve));

    const anchor = createTrustAnchor(test.mesh, new Date());
    const issuer = createIssuer(test.mesh, anchor, new Date());
    // First the anchors of both, then the issuer: the order in which a person rotates.
    await client.patch(resource.configMaps, TRUST_ROOTS.configMap, test.namespace, {
      metadata: { annotations: { "linkerd.io/created-by": "somebody" } },
      data: { [TRUST_ROOTS.key]: ca + anchor.certificate },
    });
    const { data } = tlsSecret(test.namespace, controlSecret.issuer, "", issuer);
    await client.patch(resource.secrets, controlSecret.issuer, test.namespace, {
      metadata: { annotations: { "linkerd.io/created-by": "somebody" } },
      data,
    });
    const began = performance.now();
    const wanted = new X509Certificate(issuer.certificate).fingerprint256;
    await eventually(async () => {
      const { response } = await certify(test, { identity, token });
      const [intermediate] = response.intermediateCertificates;
      return intermediate !== undefined && new X509Certificate(intermediate).fingerprint256 === wanted
        ? true
        : undefined;
    });
    assert.ok(performance.now() - began > TRUST_SPREAD_MS * 0.8);
    assert.equal(ended, false);
    stream.on("error", () => {});
    stream.cancel();
    destination.close();
  });

  it("keeps the issuer that it has when its Secret turns bad, and says so on the Deployment", async () => {
    // The test's controller is no Deployment: one of its name stands for it.
    await client.create<KubeObject>(resource.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "weft-controller", namespace: test.namespace },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: "x" } },
        template: {
          metadata: { labels: { app: "x" } },
          spec: { containers: [{ name: "x", image: "weft.invalid/none" }] },
        },
      },
    });
    const stranger = createIssuer(test.mesh, createTrustAnchor(test.mesh, new Date()), new Date());
    const { data } = tlsSecret(test.namespace, controlSecret.issuer, "", stranger);
    await client.patch(resource.secrets, controlSecret.issuer, test.namespace, { data });
    const event = await eventually(async () => {
      const { items } = await client.list<KubeObject & { reason: string; message: string; type: string }>(
        resource.events,
        { namespace: test.namespace },
      );
      return items.find(({ reason }) => reason === "IssuerValidationFailed");
    });
    assert.equal(event.type, "Warning");
    assert.match(event.message, /linkerd-identity-issuer does not lead to a trust anchor/);
    await certify(test, { identity, token });
  });

  it("takes given certificates and never writes them", async () => {
    const namespace = await createNamespace(client, "weft-ctl");
    const mesh = meshConfig(namespace);
    const anchor = createTrustAnchor(mesh, new Date());
    const issuer = createIssuer(mesh, anchor, new Date());
    const secret = await client.create<KubeObject>(resource.secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: controlSecret.issuer, namespace },
      type: "linkerd.io/tls",
      data: {
        "crt.pem": Buffer.from(issuer.certificate).toString("base64"),
        "key.pem": Buffer.from(issuer.privateKey).toString("base64"),
        "ca.crt": Buffer.from(anchor.certificate).toString("base64"),
      },
    });
    const given = await startTestController(client, namespace);
    try {
      const account = await serviceAccountToken(client, namespace, "default", IDENTITY_AUDIENCE);
      await certify(given, { identity: workloadIdentity(mesh, namespace, "default"), token: account });
      assert.equal(await trustRoots(given), anchor.certificate);
      const now = await client.get<KubeObject>(resource.secrets, controlSecret.issuer, namespace);
      assert.equal(now.metadata.resourceVersion, secret.metadata.resourceVersion);
      assert.equal(await client.find(resource.secrets, controlSecret.trustAnchor, namespace), undefined);
    } finally {
      await given.stop();
      await client.delete(resource.namespaces, namespace);
    }
  });

  it("hands the Lease to another replica as soon as it stops", async () => {
    const namespace = await createNamespace(client, "weft-ctl");
    const first = await startTestController(client, namespace);
    const second = await startTestController(client, namespace);
    const holds = ({ lines }: TestController): boolean =>
      lines.some((line) => line.includes("this replica holds the Lease"));
    assert.deepEqual([holds(first), holds(second)], [true, false]);
    await first.stop();
    await eventually(() => holds(second) || undefined, 5_000);
    await second.stop();
    await client.delete(resource.namespaces, namespace);
  });
});
