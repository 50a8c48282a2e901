/** Which pods stand behind a Service: one EndpointSlice each, and the Endpoints of old beside it. */
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import { type Fields, fieldsAt, keyOf, listAt, numberAt, type StoredObject, stringAt } from "../api/object.ts";
import { labelsMatch } from "../api/selectors.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";
import { isReady, ownerReference } from "./replica-sets.ts";

const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME = "kubernetes.io/service-name";
const CONTROLLER = "endpointslice-controller.k8s.io";

interface Port {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

interface Member {
  readonly address: string;
  readonly pod: StoredObject;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

export function startEndpoints({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resource.services, ({ object }) => queue.add(keyOf(object.metadata.namespace, object.metadata.name))),
    api.watch(resource.pods, ({ object, previous }) => {
      for (const service of api.list<StoredObject>(resource.services, object.metadata.namespace)) {
        const selector = fieldsAt(service, "spec")["selector"];
        const concerned = [object, previous].some(
          (pod) => pod !== undefined && labelsMatch(selector, pod.metadata.labels),
        );
        if (concerned) queue.add(keyOf(service.metadata.namespace, service.metadata.name));
      }
    }),
  ];

  function reconcile(key: string): void {
    const { namespace, name } = parseKey(key);
    const service = api.get<StoredObject>(resource.services, name, namespace);
    const selector = fieldsAt(service, "spec")["selector"];
    const ours = api
      .list<StoredObject>(resource.endpointSlices, namespace)
      .filter(
        (slice) => slice.metadata.labels?.[SERVICE_NAME] === name && slice.metadata.labels?.[MANAGED_BY] === CONTROLLER,
      );
    if (
      service === undefined ||
      service.metadata.deletionTimestamp !== undefined ||
      Object.keys(fieldsAt(selector)).length === 0
    ) {
      for (const slice of ours) api.remove(resource.endpointSlices, slice.metadata.name, namespace);
      if (service === undefined) api.remove(resource.endpoints, name, namespace);
      return;
    }
    const publishes = fieldsAt(service, "spec")["publishNotReadyAddresses"] === true;
    const members = api
      .list<StoredObject>(resource.pods, namespace)
      .filter((pod) => labelsMatch(selector, pod.metadata.labels))
      .flatMap((pod) => memberOf(pod, publishes));
    writeSlices(service, members, ours);
    writeEndpoints(service, members);
  }

  /** A slice for every set of port numbers: named target ports may differ from pod to pod. */
  function writeSlices(service: StoredObject, members: readonly Member[], present: readonly StoredObject[]): void {
    const { name, namespace } = service.metadata;
    const groups = groupByPorts(service, members);
    const left = [...present];
    for (const { ports, members: group } of groups) {
      const endpoints = group.map(endpointOf);
      const match = left.findIndex((slice) => JSON.stringify(slice["ports"]) === JSON.stringify(ports));
      const found = left.splice(match === -1 ? 0 : match, 1)[0];
      if (found !== undefined) {
        api.update<StoredObject>(resource.endpointSlices, found.metadata.name, namespace, (draft) => {
          draft["ports"] = ports;
          draft["endpoints"] = endpoints;
        });
      } else api.create(resource.endpointSlices, newSlice(service, ports, endpoints, suffixFor(name, namespace)));
    }
    for (const slice of left) api.remove(resource.endpointSlices, slice.metadata.name, namespace);
  }

  function suffixFor(name: string, namespace: string | undefined): string {
    for (;;) {
      const candidate = `${name}-${Math.random().toString(36).slice(2, 7)}`;
      if (api.get(resource.endpointSlices, candidate, namespace) === undefined) return candidate;
    }
  }

  function writeEndpoints(service: StoredObject, members: readonly Member[]): void {
    const { name, namespace } = service.metadata;
    const subsets = groupByPorts(service, members)
      .filter(({ members: group }) => group.length > 0)
      .map(({ ports, members: group }) => {
        const list = (ready: boolean): Fields[] =>
          group.filter((member) => member.ready === ready && !(member.terminating && !ready)).map(addressOf);
        return {
          ...(list(true).length === 0 ? {} : { addresses: list(true) }),
          ...(list(false).length === 0 ? {} : { notReadyAddresses: list(false) }),
          ports: ports.map(({ name: port, ...rest }) => (port === "" ? rest : { name: port, ...rest })),
        };
      })
      .filter((subset) => "addresses" in subset || "notReadyAddresses" in subset);
    const fill = (draft: KubeObject): void => {
      if (subsets.length === 0) delete draft["subsets"];
      else draft["subsets"] = subsets;
    };
    if (api.get(resource.endpoints, name, namespace) !== undefined) {
      api.update(resource.endpoints, name, namespace, fill);
      return;
    }
    const made: KubeObject = {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: {
        name,
        ...(namespace === undefined ? {} : { namespace }),
        labels: { ...service.metadata.labels, "endpoints.kubernetes.io/managed-by": "endpoint-controller" },
      },
    };
    fill(made);
    api.create(resource.endpoints, made);
  }

  return {
    stop() {
      for (const stop of stops) stop();
      queue.stop();
    },
  };
}

/** Nothing for pods without an address or at their end. */
function memberOf(pod: StoredObject, publishes: boolean): Member[] {
  const address = stringAt(pod, "status", "podIP");
  const phase = stringAt(pod, "status", "phase");
  if (address === undefined || address === "" || phase === "Succeeded" || phase === "Failed") return [];
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  return [{ address, pod, serving, terminating, ready: publishes || (serving && !terminating) }];
}

function endpointOf({ address, pod, ready, serving, terminating }: Member): Fields {
  const { name, namespace, uid } = pod.metadata;
  const nodeName = stringAt(pod, "spec", "nodeName");
  const hostname = stringAt(pod, "spec", "hostname");
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function addressOf({ address, pod }: Member): Fields {
  const { name, namespace, uid } = pod.metadata;
  const nodeName = stringAt(pod, "spec", "nodeName");
  return {
    ip: address,
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function groupByPorts(service: StoredObject, members: readonly Member[]): { ports: Port[]; members: Member[] }[] {
  const groups = new Map<string, { ports: Port[]; members: Member[] }>();
  for (const member of members) {
    const ports = listAt(service, "spec", "ports").flatMap((port) => portFor(port, member.pod));
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, members: [] };
    group.members.push(member);
    groups.set(key, group);
  }
  // A Service without pods has a slice without endpoints.
  if (groups.size === 0)
    return [{ ports: listAt(service, "spec", "ports").flatMap((port) => portFor(port, undefined)), members: [] }];
  return [...groups.values()];
}

function portFor(port: Fields, pod: StoredObject | undefined): Port[] {
  const target = port["targetPort"] ?? port["port"];
  const protocol = String(port["protocol"] ?? "TCP");
  const number = typeof target === "number" ? target : namedPort(pod, String(target), protocol);
  return number === undefined ? [] : [{ name: stringAt(port, "name") ?? "", port: number, protocol }];
}

function namedPort(pod: StoredObject | undefined, name: string, protocol: string): number | undefined {
  const sidecars = listAt(pod, "spec", "initContainers").filter((entry) => entry["restartPolicy"] === "Always");
  for (const container of [...listAt(pod, "spec", "containers"), ...sidecars]) {
    const found = listAt(container, "ports").find((port) => port["name"] === name && port["protocol"] === protocol);
    if (found !== undefined) return numberAt(found, "containerPort");
  }
  return undefined;
}

function newSlice(
  service: StoredObject,
  ports: readonly Port[],
  endpoints: readonly Fields[],
  name: string,
): KubeObject {
  const { namespace, labels } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, [SERVICE_NAME]: service.metadata.name, [MANAGED_BY]: CONTROLLER },
      ownerReferences: [ownerReference(service)],
    },
    addressType: "IPv4",
    endpoints,
    ports,
  };
}
