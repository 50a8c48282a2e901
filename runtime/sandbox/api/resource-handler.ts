/** One request about stored objects: from verb and query to an answer. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { User } from "./access.ts";
import { mediaType, readObject } from "./body.ts";
import { isCustom } from "./custom-kinds.ts";
import { type Deletion, deleteOptions } from "./deletion.ts";
import { required, unsupported } from "./field-errors.ts";
import type { Kind } from "./kind.ts";
import { inVersion, type Lists, listBody } from "./listing.ts";
import { copy, isFields, type StoredObject } from "./object.ts";
import type { Operations, Target, WriteContext } from "./operations.ts";
import { jsonPatch, mergePatch, strategicPatch } from "./patch.ts";
import { isTrue, type RequestInfo, type ResourceRequest } from "./request-info.ts";
import {
  badRequest,
  invalidOptions,
  methodNotAllowed,
  qualified,
  StatusError,
  unsupportedMediaType,
} from "./status.ts";
import { partial, partialList, representation, table } from "./table.ts";
import { startWatch, type Watch } from "./watching.ts";
import { sendJson, warningHeaders } from "./wire.ts";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly info: RequestInfo;
  readonly user: User;
  /** For the answer's Warning headers, whatever it will be. */
  readonly warnings: string[];
}

export class ResourceHandler {
  readonly #operations: Operations;
  readonly #deletion: Deletion;
  readonly #lists: Lists;
  readonly #watches = new Set<{ watch: Watch; response: ServerResponse }>();

  constructor(operations: Operations, deletion: Deletion, lists: Lists) {
    this.#operations = operations;
    this.#deletion = deletion;
    this.#lists = lists;
  }

  /** Breaks every open watch off, as a dying API server does. */
  dropWatches(): void {
    for (const { watch, response } of this.#watches) {
      watch.stop();
      response.destroy();
    }
    this.#watches.clear();
  }

  async handle(exchange: Exchange, kind: Kind, asked: ResourceRequest): Promise<void> {
    try {
      await this.#dispatch(exchange, kind, asked);
    } catch (error) {
      // Those who refuse warn as well.
      const headers = warningHeaders(exchange.warnings);
      if (!exchange.response.headersSent && headers["warning"] !== undefined) {
        exchange.response.setHeader("warning", headers["warning"]);
      }
      throw error;
    }
  }

  async #dispatch(exchange: Exchange, kind: Kind, asked: ResourceRequest): Promise<void> {
    const { namespace, name, subresource } = asked;
    const target: Target = { kind, namespace: kind.namespaced ? namespace : undefined, name, subresource };
    switch (asked.verb) {
      case "get":
        return this.#answer(exchange, kind, 200, this.#operations.get(target));
      case "list":
        return this.#list(exchange, kind, target.namespace);
      case "watch":
        return this.#watch(exchange, kind, target.namespace);
      case "create":
        return await this.#create(exchange, target);
      case "update":
        return await this.#update(exchange, target);
      case "patch":
        return await this.#patch(exchange, target);
      case "delete":
        return await this.#delete(exchange, target);
      case "deletecollection":
        return await this.#deleteCollection(exchange, target);
    }
  }

  #list(exchange: Exchange, kind: Kind, namespace: string | undefined): void {
    const { request, response, info } = exchange;
    const list = this.#lists.list(kind, namespace, info.query);
    const body = listBody(kind, list);
    const shape = representation(request.headers.accept);
    const meta = body["metadata"] as Record<string, unknown>;
    if (shape === "table") {
      sendJson(response, 200, table(kind, list.items, meta, info.query.get("includeObject") ?? "Metadata"));
    } else if (shape === "metadata") sendJson(response, 200, partialList(list.items, meta));
    else sendJson(response, 200, body);
  }

  #watch({ request, response, info }: Exchange, kind: Kind, namespace: string | undefined): void {
    const shape = representation(request.headers.accept);
    const include = info.query.get("includeObject") ?? "Metadata";
    let first = true;
    const render = (object: StoredObject): unknown => {
      if (shape === "metadata") return partial(object);
      if (shape === "object") return inVersion(object, kind);
      const headers = first;
      first = false;
      return table(kind, [object], { resourceVersion: object.metadata.resourceVersion }, include, headers);
    };
    const start = (): void => {
      if (response.headersSent) return;
      response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
      response.flushHeaders();
    };
    const watch = startWatch(this.#operations.store, kind, namespace, info.query, render, {
      write(line) {
        start();
        response.write(`${JSON.stringify(line)}\n`);
      },
      end() {
        start();
        response.end();
      },
    });
    start();
    const entry = { watch, response };
    this.#watches.add(entry);
    response.once("close", () => {
      watch.stop();
      this.#watches.delete(entry);
    });
  }

  async #create(exchange: Exchange, target: Target): Promise<void> {
    if (target.name !== "") throw methodNotAllowed();
    const body = await readObject(exchange.request);
    const context = writeContext(exchange);
    const object = await this.#operations.create(target, body, context);
    this.#answer(exchange, target.kind, 201, object, context.warnings);
  }

  async #update(exchange: Exchange, target: Target): Promise<void> {
    if (target.name === "") throw methodNotAllowed();
    const context = writeContext(exchange);
    const object = await this.#operations.update(target, await readObject(exchange.request), context);
    this.#answer(exchange, target.kind, 200, object, context.warnings);
  }

  async #patch(exchange: Exchange, target: Target): Promise<void> {
    if (target.name === "") throw methodNotAllowed();
    const { request, info } = exchange;
    const type = mediaType(request);
    const body = await readObject(request);
    const context = writeContext(exchange);
    if (type === "application/apply-patch+yaml") {
      if (!info.query.has("fieldManager")) {
        throw invalidOptions("PatchOptions", required("fieldManager", "is required for apply patch"));
      }
      const force = isTrue(info.query.get("force"));
      const { object, created } = await this.#operations.apply(target, body, context, force);
      return this.#answer(exchange, target.kind, created ? 201 : 200, object, context.warnings);
    }
    const change = changeOf(type, body, target.kind);
    const object = await this.#operations.patch(target, change, context);
    this.#answer(exchange, target.kind, 200, object, context.warnings);
  }

  async #delete(exchange: Exchange, target: Target): Promise<void> {
    if (target.subresource !== "") throw methodNotAllowed();
    const options = deleteOptions(await readObject(exchange.request), exchange.info.query);
    const { warnings } = exchange;
    const { kind, namespace, name } = target;
    const { object, gone } = await this.#deletion.delete(kind, namespace, name, options, {
      user: exchange.user,
      warnings,
    });
    const keepsObject = !gone || kind.kind === "Pod" || kind.kind === "Service" || kind.kind === "ServiceAccount";
    if (keepsObject) return this.#answer(exchange, kind, 200, object, warnings);
    const details = {
      name,
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.plural,
      uid: object.metadata.uid,
    };
    sendJson(
      exchange.response,
      200,
      { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details },
      warningHeaders(warnings),
    );
  }

  async #deleteCollection(exchange: Exchange, target: Target): Promise<void> {
    const { kind, namespace } = target;
    const options = deleteOptions(await readObject(exchange.request), exchange.info.query);
    const list = this.#lists.list(kind, namespace, exchange.info.query);
    const context = { user: exchange.user, warnings: exchange.warnings };
    for (const { metadata } of list.items) {
      try {
        await this.#deletion.delete(kind, metadata.namespace, metadata.name, options, context);
      } catch (error) {
        if (!(error instanceof StatusError) || error.status !== 404) throw error;
      }
    }
    sendJson(exchange.response, 200, listBody(kind, list));
  }

  #answer(
    { request, response, info }: Exchange,
    kind: Kind,
    code: number,
    object: StoredObject,
    warnings: readonly string[] = [],
  ): void {
    const shape = representation(request.headers.accept);
    const headers = warningHeaders(warnings);
    if (shape === "table") {
      const meta = { resourceVersion: object.metadata.resourceVersion };
      sendJson(response, code, table(kind, [object], meta, info.query.get("includeObject") ?? "Metadata"), headers);
    } else sendJson(response, code, shape === "metadata" ? partial(object) : inVersion(object, kind), headers);
  }
}

function changeOf(type: string, body: unknown, kind: Kind): (present: StoredObject) => unknown {
  switch (type) {
    case "application/json-patch+json":
      return (present) => jsonPatch(present, body);
    case "application/merge-patch+json":
      return (present) => mergePatch(present, body);
    case "application/strategic-merge-patch+json":
      if (isCustom(kind)) break;
      return (present) => strategicPatch(present, body, kind.schema);
    default:
      break;
  }
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml (${qualified(kind)})`,
  );
}

export function writeContext({ request, info, user, warnings }: Exchange): WriteContext {
  const dryRun = info.query.getAll("dryRun").filter((value) => value !== "");
  if (dryRun.some((value) => value !== "All")) {
    const kind = { POST: "CreateOptions", PUT: "UpdateOptions" }[info.method] ?? "PatchOptions";
    throw invalidOptions(kind, unsupported("dryRun", dryRun, ["All"]));
  }
  const validation = info.query.get("fieldValidation") ?? "Warn";
  if (validation !== "Ignore" && validation !== "Warn" && validation !== "Strict") {
    throw badRequest(
      `fieldValidation: Unsupported value: "${validation}": supported values: "Ignore", "Strict", "Warn"`,
    );
  }
  const agent = (request.headers["user-agent"] ?? "unknown").split("/")[0] ?? "unknown";
  return {
    user,
    manager: info.query.get("fieldManager") ?? agent,
    dryRun: dryRun.length > 0,
    fieldValidation: validation,
    warnings,
  };
}

/** A Scale of a Deployment or ReplicaSet (autoscaling/v1). */
export function scaleOf(object: StoredObject): Record<string, unknown> {
  const spec = isFields(object["spec"]) ? object["spec"] : {};
  const status = isFields(object["status"]) ? object["status"] : {};
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: copy({ name, namespace, uid, resourceVersion, creationTimestamp }),
    spec: { replicas: spec["replicas"] ?? 0 },
    status: { replicas: status["replicas"] ?? 0, selector: selectorText(spec["selector"]) },
  };
}

function selectorText(selector: unknown): string {
  const labels = isFields(selector) && isFields(selector["matchLabels"]) ? selector["matchLabels"] : {};
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(",");
}
