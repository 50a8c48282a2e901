/** The API server: every request's way from its socket to its answer. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { SandboxNode } from "../seam.ts";
import { ADMIN_GROUP, type User, user } from "./access.ts";
import { namespaceLifecycle } from "./admission/namespace-lifecycle.ts";
import { podSecurity } from "./admission/pod-security.ts";
import { resourceQuota } from "./admission/resource-quota.ts";
import { serviceAccountAdmission } from "./admission/service-account.ts";
import { webhookAdmission } from "./admission/webhooks.ts";
import type { AdmissionPlugin } from "./admission.ts";
import { Aggregation } from "./aggregation.ts";
import { ServiceAllocator } from "./allocation.ts";
import { authenticate } from "./authentication.ts";
import { readObject } from "./body.ts";
import { Deletion } from "./deletion.ts";
import { Discovery } from "./discovery.ts";
import { FAULTS_PATH, Faults } from "./faults.ts";
import { impersonate } from "./impersonation.ts";
import { Lists } from "./listing.ts";
import { isFields, timestamp } from "./object.ts";
import { Operations } from "./operations.ts";
import { answerPath } from "./paths.ts";
import type { Pki } from "./pki.ts";
import { Rbac } from "./rbac.ts";
import { Registry } from "./registry.ts";
import { accessOf, type ResourceRequest, requestInfo } from "./request-info.ts";
import { type Exchange, ResourceHandler } from "./resource-handler.ts";
import { reviews } from "./reviews.ts";
import { nameOfFieldSelector } from "./selectors.ts";
import {
  badRequest,
  forbidden,
  internalError,
  methodNotAllowed,
  noSuchPath,
  notImplemented,
  StatusError,
} from "./status.ts";
import { ObjectStore } from "./store.ts";
import { Subresources } from "./subresources.ts";
import { Tokens } from "./tokens.ts";
import { sendJson, sendStatus, sendText } from "./wire.ts";

/** Reads what aggregated servers say of themselves, for everybody. */
const AGGREGATOR = user("system:aggregator", [ADMIN_GROUP]);

export interface ApiServerOptions {
  readonly pki: Pki;
  readonly serviceCidr: string;
  /** Runs pods: logs and connections to them go by it. */
  readonly node: Pick<SandboxNode, "logs" | "dial">;
  /** Told of what went wrong inside. */
  readonly report: (error: unknown) => void;
}

export class ApiServer {
  readonly store = new ObjectStore();
  readonly registry = new Registry();
  readonly tokens: Tokens;
  readonly rbac: Rbac;
  readonly operations: Operations;
  readonly deletion: Deletion;
  readonly allocator: ServiceAllocator;
  readonly plugins: AdmissionPlugin[] = [];
  readonly discovery: Discovery;
  readonly aggregation: Aggregation;

  readonly #options: ApiServerOptions;
  readonly #lists: Lists;
  readonly #handler: ResourceHandler;
  readonly #subresources: Subresources;
  readonly #faults: Faults;
  readonly #servers: Server[] = [];
  /** Set while the controllers' first objects are being made. */
  ready = false;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.tokens = new Tokens(options.pki.tokenKeys, this.store);
    this.rbac = new Rbac(this.store);
    this.allocator = new ServiceAllocator(this.store, options.serviceCidr);
    this.plugins.push(
      namespaceLifecycle(this.store),
      serviceAccountAdmission(this.store),
      podSecurity(this.store),
      resourceQuota(this.store),
      webhookAdmission(this.store, (...target) => options.node.dial(...target), options.report),
    );
    this.aggregation = new Aggregation(this.store, (...target) => options.node.dial(...target), options.pki);
    this.operations = new Operations(this.store, this.plugins, this.allocator);
    this.deletion = new Deletion(this.store, this.plugins);
    this.#lists = new Lists(this.store);
    this.#handler = new ResourceHandler(this.operations, this.deletion, this.#lists);
    this.#subresources = new Subresources(this, options.node);
    this.discovery = new Discovery(this.registry, () => this.aggregation.remoteVersions());
    this.#faults = new Faults({
      dropWatches: () => this.#handler.dropWatches(),
      compact: () => {
        this.store.compact();
        this.#lists.compact();
        this.#handler.dropWatches();
      },
    });
  }

  /** @param port 0 for any. @returns the port */
  async listen(host: string, port: number): Promise<number> {
    const { pki } = this.#options;
    const server = createServer(
      {
        cert: pki.server.certificate,
        key: pki.server.key,
        ca: pki.ca,
        requestCert: true,
        // Without a certificate a token may do.
        rejectUnauthorized: false,
        keepAliveTimeout: 120_000,
        requestTimeout: 0,
      },
      (request, response) => void this.#serve(request, response),
    );
    server.on("tlsClientError", () => {});
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
    server.on("error", this.#options.report);
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the API server has no port");
    return address.port;
  }

  async close(): Promise<void> {
    this.#handler.dropWatches();
    await Promise.all(
      this.#servers.map((server) => {
        server.closeAllConnections();
        return new Promise<void>((resolve) => server.close(() => resolve()));
      }),
    );
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes is nobody's error.
    request.on("error", () => {});
    response.on("error", () => {});
    try {
      await this.#handle(request, response);
    } catch (error) {
      const status =
        error instanceof StatusError ? error : internalError(error instanceof Error ? error.message : String(error));
      if (!(error instanceof StatusError)) this.#options.report(error);
      if (response.headersSent) response.destroy();
      else sendStatus(response, status);
      if (!request.complete) request.resume();
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const info = requestInfo(request.method ?? "GET", request.url ?? "/");
    const user = impersonate(request, authenticate(request, this.tokens), this.rbac);
    if (info.path === FAULTS_PATH) return await this.#setFaults(request, response, user);
    await this.#faults.apply(info);
    const access = accessOf(info, nameOfFieldSelector(info.query.get("fieldSelector") ?? ""));
    this.rbac.check(user, access);
    const exchange: Exchange = { request, response, info, user, warnings: [] };
    const [, root, group = "", version = ""] = info.path.split("/");
    const remote = root === "apis" ? this.aggregation.serviceFor(group, version) : undefined;
    if (remote !== undefined) return await this.aggregation.proxy(exchange, remote);
    const document = /^\/openapi\/v3\/apis\/([^/]+)\/([^/]+)$/.exec(info.path);
    const described = document === null ? undefined : this.aggregation.serviceFor(document[1] ?? "", document[2] ?? "");
    if (described !== undefined) return await this.aggregation.proxy({ ...exchange, user: AGGREGATOR }, described);
    if (info.resource !== undefined) return await this.#resource(exchange, info.resource);
    this.#path(exchange);
  }

  async #resource(exchange: Exchange, asked: ResourceRequest): Promise<void> {
    const review = reviews.find(
      (entry) => entry.group === asked.group && entry.version === asked.version && entry.plural === asked.resource,
    );
    if (review !== undefined) {
      if (asked.verb !== "create") throw methodNotAllowed();
      const body = await readObject(exchange.request);
      if (!isFields(body)) throw badRequest("the body of the request was empty or is no object");
      const { user } = exchange;
      const status = review.answer(body, { user, namespace: asked.namespace, rbac: this.rbac, tokens: this.tokens });
      const answer = {
        kind: review.kind,
        apiVersion: `${review.group}/${review.version}`,
        metadata: { creationTimestamp: timestamp() },
      };
      return sendJson(exchange.response, 201, {
        ...answer,
        ...(body["spec"] === undefined ? {} : { spec: body["spec"] }),
        status,
      });
    }
    const kind = this.registry.find(asked.group, asked.version, asked.resource);
    if (kind !== undefined && asked.verb === "watch" && asked.name !== "") throw noSuchPath();
    if (kind === undefined) {
      if (KNOWN_ELSEWHERE.test(`${asked.group}/${asked.resource}`)) {
        throw notImplemented(`${asked.resource}${asked.group === "" ? "" : `.${asked.group}`}`);
      }
      throw noSuchPath();
    }
    if (asked.subresource === "" || (asked.subresource === "status" && kind.status)) {
      return await this.#handler.handle(exchange, kind, asked);
    }
    if (asked.subresource === "finalize" && kind.kind === "Namespace")
      return await this.#handler.handle(exchange, kind, asked);
    await this.#subresources.handle(exchange, kind, asked);
  }

  #path({ request, response, info }: Exchange): void {
    const { localAddress, localPort } = request.socket;
    const answer = answerPath(info.path, {
      accept: request.headers.accept,
      address: `${localAddress}:${localPort}`,
      ready: this.ready,
      registry: this.registry,
      discovery: this.discovery,
    });
    if (answer === undefined) throw noSuchPath();
    if (typeof answer.body === "string") sendText(response, answer.code, answer.body);
    else
      sendJson(
        response,
        answer.code,
        answer.body,
        answer.contentType === undefined ? {} : { "content-type": answer.contentType },
      );
  }

  async #setFaults(request: IncomingMessage, response: ServerResponse, user: User): Promise<void> {
    if (!user.groups.includes(ADMIN_GROUP)) throw forbidden(undefined, "", `User "${user.name}" cannot set faults`);
    if (request.method !== "POST") throw methodNotAllowed();
    const body = await readObject(request);
    if (!isFields(body)) throw badRequest("a fault is a JSON object");
    sendJson(response, 200, this.#faults.set(body));
  }
}

/** Kinds of Kubernetes that the sandbox has not: 501 instead of 404. */
const KNOWN_ELSEWHERE =
  /^(\/(bindings|componentstatuses|persistentvolumeclaims|persistentvolumes|podtemplates)|apps\/controllerrevisions|(autoscaling|batch|certificates\.k8s\.io|events\.k8s\.io|flowcontrol\.apiserver\.k8s\.io|networking\.k8s\.io|node\.k8s\.io|resource\.k8s\.io|scheduling\.k8s\.io|storage\.k8s\.io)\/.*|admissionregistration\.k8s\.io\/validatingadmissionpolic.*)$/;
