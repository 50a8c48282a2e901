/** pods/proxy and services/proxy: HTTP to a pod or a Service, through the API server. */
import { request as httpRequest } from "node:http";
import { resource } from "../../kube/resources.ts";
import type { SandboxNode } from "../seam.ts";
import { fieldsAt, listAt, numberAt, stringAt } from "./object.ts";
import type { ResourceRequest } from "./request-info.ts";
import type { Exchange } from "./resource-handler.ts";
import { badRequest, notFound, unavailable } from "./status.ts";
import type { ObjectStore } from "./store.ts";

interface Destination {
  readonly address: string;
  readonly port: number;
}

/** `[scheme:]name[:port]`; only http. @throws StatusError */
export async function proxyTo(
  { request, response, info }: Exchange,
  asked: ResourceRequest,
  store: ObjectStore,
  dial: SandboxNode["dial"],
): Promise<void> {
  const { address, port } = asked.resource === "pods" ? podDestination(store, asked) : serviceDestination(store, asked);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const socket = await dial(address, port, gone.signal).catch((error: unknown) => {
    throw unavailable(`error trying to reach service: ${error instanceof Error ? error.message : String(error)}`);
  });
  const headers = { ...request.headers, host: `${address}:${port}` };
  delete headers.authorization;
  await new Promise<void>((resolve, reject) => {
    const outgoing = httpRequest({
      createConnection: () => socket,
      method: request.method,
      path: `/${asked.rest}${info.query.size === 0 ? "" : `?${info.query}`}`,
      headers,
    });
    outgoing.once("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.once("error", () => response.destroy());
      answer.pipe(response);
      resolve();
    });
    outgoing.on("error", (error) => reject(unavailable(`error trying to reach service: ${error.message}`)));
    response.once("close", () => socket.destroy());
    request.pipe(outgoing);
  });
}

/** `name:port`; without a port the first one a container names. */
function podDestination(store: ObjectStore, { namespace, name: text }: ResourceRequest): Destination {
  const { name, port } = split(text);
  const pod = store.get(resource.pods, namespace, name);
  if (pod === undefined) throw notFound(resource.pods, name);
  const address = stringAt(pod, "status", "podIP");
  if (address === undefined) throw badRequest(`address not allowed: pod "${name}" has none yet`);
  const first = listAt(pod, "spec", "containers").flatMap((container) => listAt(container, "ports"))[0];
  return { address, port: port === "" ? (numberAt(first, "containerPort") ?? 80) : numeric(port) };
}

/** A ready endpoint of the Service, on the port of that name or number. */
function serviceDestination(store: ObjectStore, { namespace, name: text }: ResourceRequest): Destination {
  const { name, port } = split(text);
  const service = store.get(resource.services, namespace, name);
  if (service === undefined) throw notFound(resource.services, name);
  const ports = listAt(service, "spec", "ports");
  const wanted =
    port === "" ? ports[0] : ports.find((entry) => entry["name"] === port || String(entry["port"]) === port);
  if (wanted === undefined) throw unavailable(`no service port "${port}" found for service "${name}"`);
  for (const slice of store.snapshot(resource.endpointSlices, namespace).objects) {
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== name) continue;
    const target = listAt(slice, "ports").find((entry) => (entry["name"] ?? "") === (wanted["name"] ?? ""));
    const endpoint = listAt(slice, "endpoints").find((entry) => fieldsAt(entry, "conditions")["ready"] !== false);
    const address = (endpoint?.["addresses"] as string[] | undefined)?.[0];
    const number = numberAt(target, "port");
    if (address !== undefined && number !== undefined) return { address, port: number };
  }
  throw unavailable(`no endpoints available for service "${name}"`);
}

function split(text: string): { name: string; port: string } {
  const parts = text.split(":");
  if (parts.length === 3 && parts[0] !== "" && parts[0] !== "http") {
    throw badRequest(`the sandbox proxies http only, not ${parts[0]}`);
  }
  return parts.length === 3
    ? { name: parts[1] ?? "", port: parts[2] ?? "" }
    : { name: parts[0] ?? "", port: parts[1] ?? "" };
}

function numeric(port: string): number {
  const number = Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65535) throw badRequest(`invalid pod port "${port}"`);
  return number;
}
