/** A controller of a test's own: its process is the test's, its control-plane namespace is in the real cluster. */
import { createHash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { brotliCompressSync } from "node:zlib";
import { ChannelCredentials } from "@grpc/grpc-js";
import type { CertifyResponse } from "../../../runtime/api/gen/io/linkerd/proxy/identity.ts";
import { IdentityClient } from "../../../runtime/api/service-clients.ts";
import { createLog } from "../../../runtime/controller/config/log.ts";
import { type Controller, startController } from "../../../runtime/controller/controller.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../../runtime/kube/types.ts";
import { BUNDLE_MAIN } from "../../../runtime/model/bundle.ts";
import { CONTROLLER_SERVICE_ACCOUNT, workloadIdentity } from "../../../runtime/model/identity.ts";
import type { MeshConfig } from "../../../runtime/model/mesh-config.ts";
import { IDENTITY_AUDIENCE, proxyBundleName, TRUST_ROOTS } from "../../../runtime/model/names.ts";
import { DEFAULT_CLUSTER_NETWORKS, DEFAULT_OPAQUE_PORTS } from "../../../runtime/model/ports.ts";
import { generateKeyPair, privateKeyPem } from "../../../runtime/x509/keys.ts";
import { derToPem } from "../../../runtime/x509/pem.ts";
import { createSigningRequest } from "../../../runtime/x509/signing-request.ts";
import { createNamespace, serviceAccountToken } from "./cluster.ts";

const MAIN = brotliCompressSync("process.exit(0)");

/** Instead of minutes. */
export const TRUST_SPREAD_MS = 1_000;

export interface TestController {
  readonly client: KubeClient;
  /** Control-plane namespace. */
  readonly namespace: string;
  readonly mesh: MeshConfig;
  readonly controller: Controller;
  /** Name on the certificate of its gRPC ports. */
  readonly identity: string;
  readonly lines: string[];
  stop(): Promise<void>;
}

export function meshConfig(namespace: string): MeshConfig {
  const digest = createHash("sha256").update(MAIN).digest("hex");
  return {
    version: "0.0.0-test",
    controlPlaneNamespace: namespace,
    trustDomain: "cluster.local",
    clusterDomain: "cluster.local",
    clusterNetworks: DEFAULT_CLUSTER_NETWORKS,
    images: { node: "docker.io/library/node:24-slim", init: "localhost/iptables:1", pullPolicy: "IfNotPresent" },
    proxy: {
      hash: digest.slice(0, 10),
      digests: { [BUNDLE_MAIN]: digest },
      loader: "require('node:process').exit(0) // $(NOT_EXPANDED)",
      logLevel: "warn",
      resources: { requests: { cpu: "10m" }, limits: { memory: "64Mi" } },
    },
    defaultInboundPolicy: "all-unauthenticated",
    opaquePorts: DEFAULT_OPAQUE_PORTS,
    http2Upgrade: true,
  };
}

/** In a new namespace; the caller stops it and deletes the namespace. */
export async function startTestController(client: KubeClient, existing?: string): Promise<TestController> {
  const namespace = existing ?? (await createNamespace(client, "weft-ctl"));
  const mesh = meshConfig(namespace);
  if (existing === undefined) {
    await client.create<KubeObject>(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: proxyBundleName(mesh.proxy.hash), namespace },
      immutable: true,
      binaryData: { [BUNDLE_MAIN]: MAIN.toString("base64") },
    });
  }
  const lines: string[] = [];
  const abort = new AbortController();
  const controller = await startController(
    {
      client,
      config: { mesh, namespace, podName: `test-${process.pid}-${Math.random().toString(36).slice(2)}` },
      log: createLog("controller", "debug", (line) => lines.push(line)),
      ports: { identity: 0, destination: 0, policy: 0, api: 0, admin: 0 },
      host: "127.0.0.1",
      vizPort: 1,
      lameDuckMs: 0,
      trustSpreadMs: TRUST_SPREAD_MS,
    },
    abort.signal,
  );
  return {
    client,
    namespace,
    mesh,
    controller,
    identity: workloadIdentity(mesh, namespace, CONTROLLER_SERVICE_ACCOUNT),
    lines,
    async stop() {
      await controller.stop();
    },
  };
}

export async function trustRoots({ client, namespace }: TestController): Promise<string> {
  const found = await client.get<KubeObject & { data: Record<string, string> }>(
    resource.configMaps,
    TRUST_ROOTS.configMap,
    namespace,
  );
  return found.data[TRUST_ROOTS.key] ?? "";
}

/** Credentials that expect the controller's identity, whatever the address. */
export function channelCredentials(context: SecureContext): ChannelCredentials {
  return ChannelCredentials.createFromSecureContext(context);
}

export function channelOptions({ identity }: TestController): Record<string, string> {
  return { "grpc.ssl_target_name_override": identity, "grpc.default_authority": identity };
}

export interface Certified {
  readonly response: CertifyResponse;
  readonly chainPem: string;
  readonly keyPem: string;
}

/** What a proxy does at its start. Rejects with grpc-js' ServiceError. */
export async function certify(
  test: TestController,
  request: { identity: string; token: string; csr?: Uint8Array },
): Promise<Certified> {
  const keys = generateKeyPair();
  const context = createSecureContext({ ca: await trustRoots(test) });
  const client = new IdentityClient(
    `127.0.0.1:${test.controller.ports.identity}`,
    channelCredentials(context),
    channelOptions(test),
  );
  try {
    const response = await new Promise<CertifyResponse>((resolve, reject) => {
      client.certify(
        {
          identity: request.identity,
          token: Buffer.from(request.token),
          certificateSigningRequest: Buffer.from(
            request.csr ?? createSigningRequest(request.identity, keys.privateKey),
          ),
        },
        (error, answer) => (error === null ? resolve(answer) : reject(error)),
      );
    });
    const chain = [response.leafCertificate, ...response.intermediateCertificates];
    return {
      response,
      chainPem: chain.map((der) => derToPem("CERTIFICATE", der)).join(""),
      keyPem: privateKeyPem(keys.privateKey),
    };
  } finally {
    client.close();
  }
}

/** Client credentials of the namespace's default service account. */
export async function meshCredentials(test: TestController): Promise<ChannelCredentials> {
  const token = await serviceAccountToken(test.client, test.namespace, "default", IDENTITY_AUDIENCE);
  const identity = workloadIdentity(test.mesh, test.namespace, "default");
  const { chainPem, keyPem } = await certify(test, { identity, token });
  return channelCredentials(createSecureContext({ ca: await trustRoots(test), cert: chainPem, key: keyPem }));
}
