/** Subresources with a meaning of their own: token, log, scale, eviction. */
import type { SandboxNode } from "../seam.ts";
import { readObject } from "./body.ts";
import type { Deletion } from "./deletion.ts";
import { deleteOptions } from "./deletion.ts";
import { invalidValue } from "./field-errors.ts";
import type { Kind } from "./kind.ts";
import { copy, ensureFields, fieldsAt, isFields, listAt, numberAt, type StoredObject, stringAt } from "./object.ts";
import type { Operations } from "./operations.ts";
import { mergePatch } from "./patch.ts";
import { proxyTo } from "./proxying.ts";
import { isTrue, type ResourceRequest } from "./request-info.ts";
import { type Exchange, scaleOf, writeContext } from "./resource-handler.ts";
import { badRequest, invalid, methodNotAllowed, noSuchPath, notImplemented } from "./status.ts";
import type { Tokens } from "./tokens.ts";
import { sendJson } from "./wire.ts";

interface Server {
  readonly operations: Operations;
  readonly deletion: Deletion;
  readonly tokens: Tokens;
}

export class Subresources {
  readonly #server: Server;
  readonly #node: Pick<SandboxNode, "logs" | "dial">;

  constructor(server: Server, node: Pick<SandboxNode, "logs" | "dial">) {
    this.#server = server;
    this.#node = node;
  }

  async handle(exchange: Exchange, kind: Kind, asked: ResourceRequest): Promise<void> {
    const of = `${kind.plural}/${asked.subresource}`;
    switch (of) {
      case "serviceaccounts/token":
        return await this.#token(exchange, asked);
      case "pods/log":
        return await this.#log(exchange, kind, asked);
      case "pods/proxy":
      case "services/proxy":
        return await proxyTo(exchange, asked, this.#server.operations.store, (...target) => this.#node.dial(...target));
      case "pods/eviction":
        return await this.#evict(exchange, kind, asked);
      case "deployments/scale":
      case "replicasets/scale":
      case "statefulsets/scale":
        return await this.#scale(exchange, kind, asked);
      default:
        if (kind.subresources.some(({ name }) => name === asked.subresource)) throw notImplemented(of);
        throw noSuchPath();
    }
  }

  async #token({ request, response }: Exchange, { namespace = "", name, verb }: ResourceRequest): Promise<void> {
    if (verb !== "create") throw methodNotAllowed();
    const body = await readObject(request);
    const spec = fieldsAt(body, "spec");
    const audiences = Array.isArray(spec["audiences"]) ? (spec["audiences"] as string[]) : [];
    const expirationSeconds = numberAt(spec, "expirationSeconds") ?? 3600;
    if (expirationSeconds < 600) {
      const error = invalidValue(
        "spec.expirationSeconds",
        expirationSeconds,
        "may not specify a duration less than 10 minutes",
      );
      throw invalid({ group: "authentication.k8s.io", plural: "tokenrequests", kind: "TokenRequest" }, "", [error]);
    }
    const reference = spec["boundObjectRef"];
    const bound =
      isFields(reference) && reference["kind"] === "Pod"
        ? { name: String(reference["name"]), uid: String(reference["uid"] ?? "") }
        : undefined;
    const pod = bound === undefined || bound.uid !== "" ? bound : this.#podReference(namespace, bound.name);
    const minted = this.#server.tokens.mint({
      namespace,
      serviceAccount: name,
      audiences,
      expirationSeconds,
      ...(pod === undefined ? {} : { pod }),
    });
    sendJson(response, 201, {
      kind: "TokenRequest",
      apiVersion: "authentication.k8s.io/v1",
      metadata: { name, namespace },
      spec: { ...spec, audiences, expirationSeconds },
      status: { token: minted.token, expirationTimestamp: `${minted.expiresAt.toISOString().slice(0, 19)}Z` },
    });
  }

  #podReference(namespace: string, name: string): { name: string; uid: string } | undefined {
    const pod = this.#server.operations.store.get({ group: "", plural: "pods" }, namespace, name);
    return pod === undefined ? undefined : { name, uid: pod.metadata.uid ?? "" };
  }

  async #log({ response, info }: Exchange, kind: Kind, { namespace, name }: ResourceRequest): Promise<void> {
    const pod = this.#server.operations.get({ kind, namespace, name, subresource: "" });
    const { query } = info;
    const container = query.get("container") ?? "";
    const all = [...listAt(pod, "spec", "containers"), ...listAt(pod, "spec", "initContainers")].map((entry) =>
      String(entry["name"]),
    );
    const containers = listAt(pod, "spec", "containers");
    if (container === "" && containers.length > 1) {
      throw badRequest(
        `a container name must be specified for pod ${name}, choose one of: [${containers.map((entry) => String(entry["name"])).join(" ")}]`,
      );
    }
    const chosen = container === "" ? String(containers[0]?.["name"]) : container;
    if (!all.includes(chosen)) throw badRequest(`container ${chosen} is not valid for pod ${name}`);
    if ((stringAt(pod, "spec", "nodeName") ?? "") === "") {
      throw badRequest(`container "${chosen}" in pod "${name}" is waiting to start: no node assigned`);
    }
    checkStarted(pod, chosen, isTrue(query.get("previous")));
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const since = sinceTime(query);
    const lines = this.#node.logs(pod, {
      container: chosen,
      follow: isTrue(query.get("follow")),
      previous: isTrue(query.get("previous")),
      timestamps: isTrue(query.get("timestamps")),
      ...(query.has("tailLines") ? { tailLines: Number(query.get("tailLines")) } : {}),
      ...(query.has("limitBytes") ? { limitBytes: Number(query.get("limitBytes")) } : {}),
      ...(since === undefined ? {} : { sinceTime: since }),
      signal: gone.signal,
    });
    response.writeHead(200, { "content-type": "text/plain", "cache-control": "no-cache, private" });
    response.flushHeaders();
    try {
      for await (const chunk of lines) {
        if (!response.write(chunk))
          await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
        if (gone.signal.aborted) return;
      }
      response.end();
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
  }

  async #evict(exchange: Exchange, kind: Kind, { namespace, name, verb }: ResourceRequest): Promise<void> {
    if (verb !== "create") throw methodNotAllowed();
    const body = await readObject(exchange.request);
    const options = deleteOptions(fieldsAt(body, "deleteOptions"), exchange.info.query);
    await this.#server.deletion.delete(kind, namespace, name, options, { user: exchange.user, warnings: [] });
    sendJson(exchange.response, 201, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" });
  }

  async #scale(exchange: Exchange, kind: Kind, asked: ResourceRequest): Promise<void> {
    const target = { kind, namespace: asked.namespace, name: asked.name, subresource: "" };
    if (asked.verb === "get") return sendJson(exchange.response, 200, scaleOf(this.#server.operations.get(target)));
    if (asked.verb !== "update" && asked.verb !== "patch") throw methodNotAllowed();
    const body = await readObject(exchange.request);
    const scaled = await this.#server.operations.patch(
      target,
      (present) => {
        const wanted = asked.verb === "update" ? body : mergePatch(scaleOf(present), body);
        const next: StoredObject = copy(present);
        ensureFields(next, "spec")["replicas"] = numberAt(wanted, "spec", "replicas") ?? 0;
        return next;
      },
      writeContext(exchange),
    );
    sendJson(exchange.response, 200, scaleOf(scaled));
  }
}

/** A container that has not started has no log: the kubelet says so, kubectl shows it. */
function checkStarted(pod: StoredObject, container: string, previous: boolean): void {
  const statuses = [...listAt(pod, "status", "containerStatuses"), ...listAt(pod, "status", "initContainerStatuses")];
  const status = statuses.find((entry) => entry["name"] === container);
  const name = pod.metadata.name;
  if (previous) {
    if (Object.keys(fieldsAt(status, "lastState", "terminated")).length === 0) {
      throw badRequest(`previous terminated container "${container}" in pod "${name}" not found`);
    }
    return;
  }
  const waiting = fieldsAt(status, "state", "waiting");
  const ran = Object.keys(fieldsAt(status, "lastState", "terminated")).length > 0;
  if (status === undefined || (Object.keys(waiting).length > 0 && !ran)) {
    throw badRequest(
      `container "${container}" in pod "${name}" is waiting to start: ${stringAt(waiting, "reason") ?? "ContainerCreating"}`,
    );
  }
}

function sinceTime(query: URLSearchParams): Date | undefined {
  const time = query.get("sinceTime");
  if (time !== null) return new Date(time);
  const seconds = query.get("sinceSeconds");
  return seconds === null ? undefined : new Date(Date.now() - Number(seconds) * 1000);
}
