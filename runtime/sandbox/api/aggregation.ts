/** Aggregated APIs: requests for a group another server of the cluster serves go there, with the user's name on them. */
import { resource } from "../../kube/resources.ts";
import type { SandboxNode } from "../seam.ts";
import type { User } from "./access.ts";
import type { RemoteVersion } from "./discovery.ts";
import { type Fields, fieldsAt, isFields, listAt, numberAt, type StoredObject, stringAt } from "./object.ts";
import type { Pki } from "./pki.ts";
import type { Exchange } from "./resource-handler.ts";
import { connectTls, resolveService, exchange as send, type TlsTarget } from "./service-call.ts";
import { unavailable } from "./status.ts";
import type { ObjectStore } from "./store.ts";

const PROBE_MS = 5_000;
const DIAL_MS = 10_000;

/** Headers that say something about one connection, or about who asks. */
const NOT_PASSED =
  /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|authorization|host|x-remote-.*|impersonate-.*)$/;

export interface Availability {
  readonly available: boolean;
  readonly reason: string;
  readonly message: string;
}

export class Aggregation {
  readonly #store: ObjectStore;
  readonly #dial: SandboxNode["dial"];
  readonly #client: Pki["frontProxy"];
  /** APIResourceList.resources by `group/version`, as last told. */
  readonly #resources = new Map<string, Fields[]>();

  constructor(store: ObjectStore, dial: SandboxNode["dial"], pki: Pki) {
    this.#store = store;
    this.#dial = dial;
    this.#client = pki.frontProxy;
  }

  /** The APIService that hands a group and version to another server. */
  serviceFor(group: string, version: string): StoredObject | undefined {
    const service = this.#store.get(resource.apiServices, undefined, `${version}.${group}`);
    return service !== undefined && isFields(fieldsAt(service, "spec")["service"]) ? service : undefined;
  }

  remoteVersions(): RemoteVersion[] {
    return this.#store.snapshot(resource.apiServices).objects.flatMap((service) => {
      const { group, version, service: target } = fieldsAt(service, "spec");
      if (!isFields(target)) return [];
      const id = `${String(group)}/${String(version)}`;
      const resources = isAvailable(service) ? this.#resources.get(id) : undefined;
      return [{ group: String(group), version: String(version), resources }];
    });
  }

  /** Passes a request on and its answer back, both as streams. @throws StatusError 503 */
  async proxy({ request, response, user }: Exchange, service: StoredObject): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    if (!isAvailable(service)) throw unavailable("service unavailable");
    const late = setTimeout(() => gone.abort(new Error("no connection within 10 s")), DIAL_MS);
    try {
      const target = this.#target(service);
      const secure = await connectTls(this.#dial, target, gone.signal);
      clearTimeout(late);
      const headers = passedHeaders(request.rawHeaders, user, target.servername);
      const answer = await send(
        secure,
        { method: request.method ?? "GET", path: request.url ?? "/", headers },
        request,
      );
      response.once("close", () => secure.destroy());
      answer.once("error", () => response.destroy());
      const kept = Object.entries(answer.headers).filter(
        ([name]) => !/^(connection|keep-alive|transfer-encoding)$/.test(name),
      );
      response.writeHead(
        answer.statusCode ?? 502,
        Object.fromEntries(kept.map(([name, value]) => [name, value ?? ""])),
      );
      response.flushHeaders();
      answer.pipe(response);
    } catch (error) {
      if (response.headersSent) {
        response.destroy();
        return;
      }
      throw unavailable(`error trying to reach service: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      clearTimeout(late);
    }
  }

  /** Asks the server behind an APIService for its discovery document. */
  async probe(service: StoredObject): Promise<Availability> {
    const { group, version } = fieldsAt(service, "spec");
    const path = `/apis/${String(group)}/${String(version)}`;
    const refused = (reason: string, message: string): Availability => ({ available: false, reason, message });
    const { namespace, name } = fieldsAt(service, "spec", "service");
    if (this.#store.get(resource.services, String(namespace), String(name)) === undefined) {
      return refused("ServiceNotFound", `service/${String(name)} in "${String(namespace)}" is not present`);
    }
    let target: TlsTarget;
    try {
      target = this.#target(service);
    } catch {
      return refused(
        "MissingEndpoints",
        `endpoints for service/${String(name)} in "${String(namespace)}" have no addresses with port name ""`,
      );
    }
    const url = `https://${target.address}:${target.port}${path}`;
    const failed = (why: string): Availability =>
      refused("FailedDiscoveryCheck", `failing or missing response from ${url}: ${why}`);
    const timeout = AbortSignal.timeout(PROBE_MS);
    try {
      const secure = await connectTls(this.#dial, target, timeout);
      try {
        const headers = {
          host: target.servername,
          accept: "application/json",
          "x-remote-user": "system:kube-aggregator",
          "x-remote-group": "system:masters",
        };
        const answer = await send(secure, { method: "GET", path, headers }, undefined);
        const chunks: Buffer[] = [];
        for await (const chunk of answer) chunks.push(chunk as Buffer);
        if ((answer.statusCode ?? 0) >= 300) return failed(`bad status from ${url}: ${answer.statusCode}`);
        const list: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
        this.#resources.set(`${String(group)}/${String(version)}`, listAt(list, "resources"));
        return { available: true, reason: "Passed", message: "all checks passed" };
      } finally {
        secure.destroy();
      }
    } catch (error) {
      return failed(`Get "${url}": ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #target(service: StoredObject): TlsTarget {
    const spec = fieldsAt(service, "spec");
    const reference = fieldsAt(spec, "service");
    const found = resolveService(this.#store, {
      namespace: String(reference["namespace"]),
      name: String(reference["name"]),
      port: numberAt(reference, "port") ?? 443,
    });
    const bundle = stringAt(spec, "caBundle");
    return {
      ...found,
      ca: bundle === undefined ? undefined : Buffer.from(bundle, "base64").toString("utf8"),
      insecure: spec["insecureSkipTLSVerify"] === true,
      client: this.#client,
    };
  }
}

function isAvailable(service: StoredObject): boolean {
  const condition = listAt(service, "status", "conditions").find((entry) => entry["type"] === "Available");
  return condition?.["status"] === "True";
}

function passedHeaders(raw: readonly string[], user: User, host: string): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { host };
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    if (!NOT_PASSED.test(name)) headers[name] = raw[index + 1] ?? "";
  }
  headers["x-remote-user"] = user.name;
  headers["x-remote-group"] = [...user.groups];
  if (user.uid !== "") headers["x-remote-uid"] = user.uid;
  for (const [key, values] of Object.entries(user.extra))
    headers[`x-remote-extra-${encodeURIComponent(key)}`] = [...values];
  return headers;
}
