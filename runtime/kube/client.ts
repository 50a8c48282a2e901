/** Typed verbs over a transport: the same for the extension, the CLI and the controller. */
import { setTimeout as sleep } from "node:timers/promises";
import { hasStatus, isStatus, KubeConnectionError, KubeError } from "./errors.ts";
import { listPages } from "./paging.ts";
import { resourcePath } from "./resources.ts";
import type { KubeClient, KubeObject, KubeRequest, KubeStream, KubeTransport, Resource } from "./types.ts";

/** An answer that stops in the middle for this long is given up. */
const BODY_IDLE_MS = 30_000;
/** As often is a request repeated that the server's flow control turned away (429 with Retry-After). */
const THROTTLED_TRIES = 5;
const MAX_RETRY_AFTER_S = 10;

const PATCH_TYPES = {
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  json: "application/json-patch+json",
} as const;

export function createKubeClient(transport: KubeTransport): KubeClient {
  async function json<T>(request: KubeRequest): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const stream = await transport.open(request);
      if (stream.status < 400) return parse<T>(transport, request, await readAll(transport, stream));
      const error = await readError(request, stream);
      const retryAfter = Number(stream.headers["retry-after"]);
      if (error.status !== 429 || attempt === THROTTLED_TRIES || !(retryAfter >= 0)) throw error;
      await sleep(Math.min(retryAfter, MAX_RETRY_AFTER_S) * 1000, undefined, {
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    }
  }

  async function get<T extends KubeObject>(resource: Resource, name: string, namespace?: string): Promise<T> {
    return await json<T>({ method: "GET", path: resourcePath(resource, namespace, name) });
  }

  return {
    transport,
    json,
    get,

    async find<T extends KubeObject>(resource: Resource, name: string, namespace?: string) {
      try {
        return await get<T>(resource, name, namespace);
      } catch (error) {
        if (hasStatus(error, 404)) return undefined;
        throw error;
      }
    },

    async list<T extends KubeObject>(resource: Resource, options = {}) {
      let items: T[] = [];
      let resourceVersion = "";
      for await (const page of listPages<T>({ json }, resource, options)) {
        if (page.first) items = [];
        for (const item of page.items) items.push(item);
        resourceVersion = page.resourceVersion;
      }
      return { items, resourceVersion };
    },

    create(resource, object, options = {}) {
      const { dryRun, fieldManager } = options;
      return json({
        method: "POST",
        path: resourcePath(resource, object.metadata.namespace),
        query: { fieldManager, ...dryRunQuery(dryRun) },
        body: object,
      });
    },

    replace(resource, object, subresource) {
      const { name, namespace } = object.metadata;
      return json({ method: "PUT", path: resourcePath(resource, namespace, name, subresource), body: object });
    },

    patch(resource, name, namespace, patch, options = {}) {
      const { type = "merge", subresource, fieldManager, dryRun } = options;
      return json({
        method: "PATCH",
        path: resourcePath(resource, namespace, name, subresource),
        query: { fieldManager, ...dryRunQuery(dryRun) },
        headers: { "content-type": PATCH_TYPES[type] },
        body: patch,
      });
    },

    apply(resource, object, options) {
      const { name, namespace } = object.metadata;
      return json({
        method: "PATCH",
        path: resourcePath(resource, namespace, name),
        query: { fieldManager: options.fieldManager, force: options.force, ...dryRunQuery(options.dryRun) },
        // JSON is YAML.
        headers: { "content-type": "application/apply-patch+yaml" },
        body: object,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    },

    async delete(resource, name, namespace, options = {}) {
      const { propagationPolicy = "Background", uid } = options;
      try {
        await json({
          method: "DELETE",
          path: resourcePath(resource, namespace, name),
          body: { propagationPolicy, ...(uid === undefined ? {} : { preconditions: { uid } }) },
        });
      } catch (error) {
        if (!hasStatus(error, 404)) throw error;
      }
    },
  };
}

function dryRunQuery(dryRun: boolean | undefined): { dryRun?: "All" } {
  return dryRun === true ? { dryRun: "All" } : {};
}

function parse<T>(transport: KubeTransport, request: KubeRequest, text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    // A login page, a proxy's error: something else than an API server answers at this address.
    throw new KubeConnectionError(
      transport.server,
      `${transport.server} answered ${request.method} ${request.path} with something that is no JSON. Is this address an API server?`,
      { cause },
    );
  }
}

/** Reads an answer ≥ 400 into the error it stands for. */
export async function readError(request: KubeRequest, stream: KubeStream): Promise<KubeError> {
  const name = `${request.method} ${request.path}`;
  let text = "";
  try {
    text = await collect(stream);
    const status: unknown = JSON.parse(text);
    if (isStatus(status)) return new KubeError({ ...status, code: stream.status }, name);
  } catch {
    // No Status object: the status code and the text are all there is.
  }
  const message = text.trim().slice(0, 500);
  return new KubeError(
    {
      kind: "Status",
      code: stream.status,
      ...(message === "" ? {} : { message: `${name}: ${stream.status} ${message}` }),
    },
    name,
  );
}

async function readAll(transport: KubeTransport, stream: KubeStream): Promise<string> {
  try {
    return await collect(stream);
  } catch (error) {
    if (!(error instanceof IdleError)) throw error;
    throw new KubeConnectionError(transport.server, `${transport.server} stopped in the middle of an answer`, {
      cause: error,
    });
  }
}

class IdleError extends Error {}

async function collect(stream: KubeStream): Promise<string> {
  const chunks: Uint8Array[] = [];
  let idle = false;
  const timer = setTimeout(() => {
    idle = true;
    stream.close();
  }, BODY_IDLE_MS);
  try {
    for await (const chunk of stream.body) {
      timer.refresh();
      chunks.push(chunk);
    }
  } catch (error) {
    if (!idle) throw error;
  } finally {
    clearTimeout(timer);
  }
  if (idle) throw new IdleError(`no byte for ${BODY_IDLE_MS / 1000} s`);
  return Buffer.concat(chunks).toString("utf8");
}
