/**
 * A world for the statistics process: the sandbox's API server as Kubernetes (RBAC, watches, tokens), the controller's own
 * identity service and certificates, viz itself, and an API server's aggregator in front of it.
 */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as http2Connect } from "node:http2";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext, connect as tlsConnect } from "node:tls";
import { type IdentityServer, IdentityService } from "../../../../runtime/api/gen/io/linkerd/proxy/identity.ts";
import type { ControllerConfig } from "../../../../runtime/controller/config/config.ts";
import { createLog } from "../../../../runtime/controller/config/log.ts";
import { GrpcPort } from "../../../../runtime/controller/grpc/grpc-port.ts";
import { identityService } from "../../../../runtime/controller/identity/identity-service.ts";
import { issue } from "../../../../runtime/controller/identity/leaf.ts";
import {
  createIssuer,
  createServingCertificate,
  createTrustAnchor,
  type Issuer,
  readIssuer,
} from "../../../../runtime/controller/pki/authorities.ts";
import { tlsSecret } from "../../../../runtime/controller/pki/tls-secret.ts";
import { startViz, type Viz } from "../../../../runtime/controller/viz/start-viz.ts";
import { createKubeClient } from "../../../../runtime/kube/client.ts";
import { httpsTransport } from "../../../../runtime/kube/https-transport.ts";
import { resource } from "../../../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject, KubeTransport } from "../../../../runtime/kube/types.ts";
import { CONTROLLER_LEASE, clusterRules, namespaceRules } from "../../../../runtime/model/control-plane-rbac.ts";
import { workloadIdentity } from "../../../../runtime/model/identity.ts";
import { IDENTITY_AUDIENCE, TRUST_ROOTS } from "../../../../runtime/model/names.ts";
import { userRoles } from "../../../../runtime/model/user-roles.ts";
import { ApiServer } from "../../../../runtime/sandbox/api/api-server.ts";
import { InProcessApi } from "../../../../runtime/sandbox/api/in-process.ts";
import { createPki, type Pki } from "../../../../runtime/sandbox/api/pki.ts";
import { certificatePem } from "../../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../../runtime/x509/keys.ts";

export const NAMESPACE = "weft";
export const scope = { controlPlaneNamespace: NAMESPACE, trustDomain: "cluster.local" };
const CONTROLLER = "weft-controller";
const RBAC = "rbac.authorization.k8s.io/v1";
const log = createLog("viz", process.env["WEFT_TEST_LOG"] ?? "error");

export interface User {
  readonly name: string;
  readonly groups?: readonly string[];
}
export const ADMIN: User = { name: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: AsyncIterable<Buffer>;
  close(): void;
}

export interface AskOptions {
  readonly method?: string;
  readonly accept?: string;
  readonly body?: Uint8Array;
  readonly http2?: boolean;
  /** Default: the API server's. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Of the viz process to ask; default the first one's. */
  readonly port?: number;
}

export class World {
  readonly api: InProcessApi;
  readonly client: KubeClient;
  readonly vizzes: Viz[] = [];
  readonly issuer: Issuer;
  readonly anchorPem: string;
  readonly #server: ApiServer;
  readonly #pki: Pki;
  readonly #identity: GrpcPort;
  readonly #identityPort: number;
  #servingCa: string;
  readonly #folder: string;
  readonly #transports: KubeTransport[];
  readonly #apiPort: number;

  private constructor(parts: {
    server: ApiServer;
    pki: Pki;
    api: InProcessApi;
    apiPort: number;
    client: KubeClient;
    issuer: Issuer;
    anchorPem: string;
    identity: GrpcPort;
    identityPort: number;
    servingCa: string;
    folder: string;
  }) {
    this.api = parts.api;
    this.client = parts.client;
    this.issuer = parts.issuer;
    this.anchorPem = parts.anchorPem;
    this.#server = parts.server;
    this.#pki = parts.pki;
    this.#identity = parts.identity;
    this.#identityPort = parts.identityPort;
    this.#servingCa = parts.servingCa;
    this.#folder = parts.folder;
    this.#apiPort = parts.apiPort;
    this.#transports = [parts.client.transport];
  }

  static async create(): Promise<World> {
    const pki = createPki([]);
    const report = (error: unknown): void => console.error("sandbox:", error);
    const unused = (): never => {
      throw new Error("no pod runs here");
    };
    const server = new ApiServer({ pki, serviceCidr: "10.96.0.0/16", node: { logs: unused, dial: unused }, report });
    const apiPort = await server.listen("127.0.0.1", 0);
    const api = new InProcessApi(server, "test", report);
    const tls = { ca: pki.ca, cert: pki.admin.certificate, key: pki.admin.key };
    const client = createKubeClient(
      httpsTransport({
        server: `https://127.0.0.1:${apiPort}`,
        credentials: async () => ({ headers: {}, tls }),
      }),
    );
    const now = new Date();
    const anchor = createTrustAnchor(scope, now);
    const issuer = readIssuer(
      "issuer",
      createIssuer(scope, anchor, now),
      [new X509Certificate(anchor.certificate)],
      now,
    );
    const serving = createServingCertificate([`weft-viz.${NAMESPACE}.svc`], now);
    makeObjects(api, pki, anchor.certificate);
    api.create(resource.secrets, tlsSecret(NAMESPACE, "weft-viz-tls", "0.1.0", serving));
    const keys = generateKeyPair();
    const own = issue(issuer, controllerIdentity(), keys.publicKey, now);
    const context = createSecureContext({
      cert: [own, ...issuer.intermediates].map(certificatePem).join(""),
      key: privateKeyPem(keys.privateKey),
    });
    const implementation: IdentityServer = identityService({ client, pki: { issuer }, scope, log });
    const identity = new GrpcPort({
      port: 0,
      host: "127.0.0.1",
      services: [{ definition: IdentityService, implementation: { ...implementation } }],
      context: () => context,
      requireClientCertificate: false,
      log,
    });
    const identityPort = await identity.listen();
    const folder = mkdtempSync(join(tmpdir(), "weft-viz-"));
    const parts = { server, pki, api, apiPort, client, issuer, anchorPem: anchor.certificate, identity, identityPort };
    return new World({ ...parts, servingCa: serving.ca ?? "", folder });
  }

  /** A replica of the statistics process, with the rights of its service account. @param podIp where others reach it */
  async startViz(podName: string, options: { readonly host?: string; readonly port?: number } = {}): Promise<Viz> {
    const token = (audiences?: readonly string[]): string =>
      this.api.mintToken({
        namespace: NAMESPACE,
        serviceAccount: CONTROLLER,
        ...(audiences === undefined ? {} : { audiences }),
      }).token;
    const tokenFile = join(this.#folder, podName);
    writeFileSync(tokenFile, token([IDENTITY_AUDIENCE]));
    const tls = { ca: this.#pki.ca };
    const headers = { authorization: `Bearer ${token()}` };
    const transport = httpsTransport({
      server: `https://127.0.0.1:${this.#apiPort}`,
      credentials: async () => ({ headers, tls }),
    });
    this.#transports.push(transport);
    const config = { podName, namespace: NAMESPACE, mesh: { version: "0.1.0", ...scope } } as ControllerConfig;
    const viz = await startViz(
      {
        client: createKubeClient(transport),
        config,
        log,
        tokenFile,
        identityAddress: `127.0.0.1:${this.#identityPort}`,
        port: 0,
        adminPort: 0,
        ...options,
      },
      AbortSignal.timeout(20_000),
    );
    this.vizzes.push(viz);
    return viz;
  }

  /** Makes `podName` the replica that scrapes. */
  elect(podName: string): void {
    const lease = this.api.get(resource.leases, CONTROLLER_LEASE, NAMESPACE);
    const spec = { holderIdentity: podName };
    if (lease === undefined) {
      const metadata = { name: CONTROLLER_LEASE, namespace: NAMESPACE };
      this.api.create(resource.leases, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec });
    } else {
      this.api.update<KubeObject>(resource.leases, CONTROLLER_LEASE, NAMESPACE, (object) => {
        object["spec"] = spec;
      });
    }
  }

  /** As the controller does when a third of the old one's life is left. */
  renewServingCertificate(): void {
    const serving = createServingCertificate([`weft-viz.${NAMESPACE}.svc`], new Date());
    const { data } = tlsSecret(NAMESPACE, "weft-viz-tls", "0.1.0", serving);
    this.api.update<KubeObject>(resource.secrets, "weft-viz-tls", NAMESPACE, (secret) => {
      secret["data"] = data;
    });
    this.#servingCa = serving.ca ?? "";
  }

  /** Asks viz as the aggregator does: by the front proxy's certificate, the user in headers. */
  async ask(user: User | undefined, path: string, options: AskOptions = {}): Promise<Answer> {
    const { method = "GET", accept = "application/json", body } = options;
    const headers = {
      accept,
      ...(user === undefined
        ? {}
        : { "x-remote-user": user.name, "x-remote-group": [...(user.groups ?? ["system:authenticated"])] }),
    };
    const tls = {
      host: "127.0.0.1",
      port: options.port ?? this.vizzes[0]?.port ?? 0,
      servername: `weft-viz.${NAMESPACE}.svc`,
      ca: this.#servingCa,
      cert: options.tls?.cert ?? this.#pki.frontProxy.certificate,
      key: options.tls?.key ?? this.#pki.frontProxy.key,
    };
    return options.http2 === true
      ? await askHttp2(tls, { ":method": method, ":path": path, ...headers }, body)
      : await askHttp1(tls, method, path, headers, body);
  }

  async json<T>(user: User | undefined, path: string, options: AskOptions = {}): Promise<{ status: number; body: T }> {
    const answer = await this.ask(user, path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    answer.close();
    return { status: answer.status, body: JSON.parse(Buffer.concat(chunks).toString()) as T };
  }

  /** What runtime/mesh speaks to: the aggregated API as `user`. */
  clientOf(user: User, http2 = false): KubeClient {
    return createKubeClient({
      server: "https://aggregator",
      close: () => {},
      open: async ({ method, path, query, headers, body, signal }) => {
        const parameters = new URLSearchParams();
        for (const [name, value] of Object.entries(query ?? {})) {
          if (value !== undefined) parameters.set(name, String(value));
        }
        const answer = await this.ask(user, parameters.size === 0 ? path : `${path}?${parameters}`, {
          method,
          http2,
          ...(headers?.["accept"] === undefined ? {} : { accept: headers["accept"] }),
          ...(body === undefined ? {} : { body: body as Uint8Array }),
        });
        signal?.addEventListener("abort", () => answer.close(), { once: true });
        return { ...answer, headers: answer.headers as Record<string, string> };
      },
    });
  }

  /** A leaf of the mesh, as identity would issue it. */
  leaf(namespace: string, serviceAccount: string): { cert: string; key: string; ca: string; identity: string } {
    const keys = generateKeyPair();
    const identity = workloadIdentity(scope, namespace, serviceAccount);
    const leaf = issue(this.issuer, identity, keys.publicKey, new Date());
    const cert = [leaf, ...this.issuer.intermediates].map(certificatePem).join("");
    return { cert, key: privateKeyPem(keys.privateKey), ca: this.anchorPem, identity };
  }

  async close(): Promise<void> {
    for (const viz of this.vizzes) await viz.stop();
    for (const transport of this.#transports) transport.close();
    await this.#identity.drain(0);
    await this.#server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const controllerIdentity = (): string => workloadIdentity(scope, NAMESPACE, CONTROLLER);

interface AskTls {
  readonly host: string;
  readonly port: number;
  readonly servername: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function askHttp1(
  tls: AskTls,
  method: string,
  path: string,
  headers: Record<string, string | string[]>,
  body: Uint8Array | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({ ...tls, method, path, headers, agent: false });
    request.once("error", reject);
    request.once("response", (response) => {
      request.on("error", () => {});
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: response as AsyncIterable<Buffer>,
        close: () => request.destroy(),
      });
    });
    request.end(body);
  });
}

function askHttp2(
  tls: AskTls,
  headers: Record<string, string | string[]>,
  body: Uint8Array | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = http2Connect(`https://${tls.servername}`, {
      createConnection: () => tlsConnect({ ...tls, ALPNProtocols: ["h2"] }),
    });
    session.on("error", reject);
    const stream = session.request(headers, { endStream: body === undefined });
    stream.on("error", reject);
    stream.once("response", (head) =>
      resolve({
        status: Number(head[":status"]),
        headers: head,
        body: stream as AsyncIterable<Buffer>,
        close: () => session.destroy(),
      }),
    );
    if (body !== undefined) stream.end(body);
  });
}

function makeObjects(api: InProcessApi, pki: Pki, anchor: string): void {
  for (const name of [NAMESPACE, "shop", "kube-system", "default"]) {
    if (api.get(resource.namespaces, name) === undefined) {
      api.create(resource.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    }
  }
  const within = { name: CONTROLLER, namespace: NAMESPACE };
  api.create(resource.serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata: within });
  const subjects = [{ kind: "ServiceAccount", ...within }];
  const roleRef = (kind: string, name: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind, name });
  const made = (kind: string, metadata: KubeObject["metadata"], fields: Record<string, unknown>): KubeObject => ({
    apiVersion: RBAC,
    kind,
    metadata,
    ...fields,
  });
  api.create(resource.clusterRoles, made("ClusterRole", { name: CONTROLLER }, { rules: clusterRules([]) }));
  api.create(
    resource.clusterRoleBindings,
    made("ClusterRoleBinding", { name: CONTROLLER }, { roleRef: roleRef("ClusterRole", CONTROLLER), subjects }),
  );
  api.create(resource.roles, made("Role", within, { rules: namespaceRules() }));
  api.create(resource.roleBindings, made("RoleBinding", within, { roleRef: roleRef("Role", CONTROLLER), subjects }));
  const reader = "extension-apiserver-authentication-reader";
  if (api.get(resource.roles, reader, "kube-system") === undefined) {
    api.create(
      resource.roles,
      made(
        "Role",
        { name: reader, namespace: "kube-system" },
        {
          rules: [
            {
              apiGroups: [""],
              resources: ["configmaps"],
              resourceNames: ["extension-apiserver-authentication"],
              verbs: ["get", "list", "watch"],
            },
          ],
        },
      ),
    );
  }
  api.create(
    resource.roleBindings,
    made("RoleBinding", { name: CONTROLLER, namespace: "kube-system" }, { roleRef: roleRef("Role", reader), subjects }),
  );
  for (const { name, labels, rules } of userRoles()) {
    api.create(resource.clusterRoles, made("ClusterRole", { name, labels: { ...labels } }, { rules }));
  }
  api.create(resource.configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
    data: {
      "requestheader-client-ca-file": pki.frontProxyCa,
      "requestheader-allowed-names": '["front-proxy-client"]',
      "requestheader-username-headers": '["X-Remote-User"]',
      "requestheader-group-headers": '["X-Remote-Group"]',
      "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    },
  });
  api.create(resource.configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: TRUST_ROOTS.configMap, namespace: NAMESPACE },
    data: { [TRUST_ROOTS.key]: anchor },
  });
}
