/** Names of the cluster's domain (the Kubernetes DNS specification, 1.1.0): Services, headless ones, pods. */
import { resource } from "../../kube/resources.ts";
import type { SandboxApi } from "../seam.ts";
import type { Endpoint, EndpointSlice, Service } from "./pod-types.ts";
import { isReady, serviceKey } from "./service-rules.ts";

export type RecordType = "A" | "AAAA" | "SRV";

export type DnsRecord =
  | { readonly type: "A"; readonly name: string; readonly address: string }
  | { readonly type: "SRV"; readonly name: string; readonly target: string; readonly port: number };

/** What `name` has of `type`; an empty list for a name that exists without it; undefined for one that does not exist. */
export type Lookup = (name: string, type: string) => DnsRecord[] | undefined;

/** @param domain e.g. `cluster.local`; names are without the last dot, any case */
export function clusterNames(api: SandboxApi, domain: string): Lookup {
  return (asked, type) => {
    const name = asked.toLowerCase();
    if (name === domain) return [];
    if (!name.endsWith(`.${domain}`)) return undefined;
    const labels = name.slice(0, -domain.length - 1).split(".");
    const kind = labels.pop();
    if (kind !== "svc" && kind !== "pod") return undefined;
    const namespace = labels.pop();
    // Parts of longer names exist without records.
    if (namespace === undefined) return [];
    if (api.get(resource.namespaces, namespace) === undefined) return undefined;
    const subject = labels.pop();
    if (subject === undefined) return [];
    if (kind === "pod") return labels.length === 0 ? podRecords(name, subject, type) : undefined;
    const service = api.get<Service>(resource.services, subject, namespace);
    if (service === undefined) return undefined;
    return new ServiceNames(api, service, `${subject}.${namespace}.svc.${domain}`).lookup(name, labels, type);
  };
}

/** `10-1-2-3.namespace.pod`: any address has a name. */
function podRecords(name: string, dashed: string, type: string): DnsRecord[] | undefined {
  if (!/^\d{1,3}(-\d{1,3}){3}$/.test(dashed)) return undefined;
  return type === "A" ? [{ type: "A", name, address: dashed.replaceAll("-", ".") }] : [];
}

interface NamedEndpoint {
  /** Its hostname, or its address with dashes. */
  readonly label: string;
  readonly address: string;
  readonly ports: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[];
}

class ServiceNames {
  readonly #api: SandboxApi;
  readonly #service: Service;
  /** `name.namespace.svc.domain` */
  readonly #name: string;

  constructor(api: SandboxApi, service: Service, name: string) {
    this.#api = api;
    this.#service = service;
    this.#name = name;
  }

  /** @param front labels before the Service's name */
  lookup(name: string, front: readonly string[], type: string): DnsRecord[] | undefined {
    const [first, second] = front;
    if (first === undefined) return this.#own(name, type);
    if (front.length === 2 && first.startsWith("_") && second?.startsWith("_")) {
      const records = this.#ports(name, first.slice(1), second.slice(1));
      if (records.length === 0) return undefined;
      return type === "SRV" ? records : [];
    }
    const named = front.length === 1 ? this.#endpoints().filter(({ label }) => label === first) : [];
    if (named.length === 0) return undefined;
    return type === "A" ? named.map(({ address }) => ({ type: "A", name, address })) : [];
  }

  /** A headless Service without endpoints does not exist. */
  #own(name: string, type: string): DnsRecord[] | undefined {
    const clusterIP = this.#clusterIP;
    const addresses = clusterIP === undefined ? this.#endpoints().map(({ address }) => address) : [clusterIP];
    if (addresses.length === 0) return undefined;
    if (type === "SRV") return this.#ports(name);
    return type === "A" ? [...new Set(addresses)].map((address) => ({ type: "A", name, address })) : [];
  }

  /** @param portName,protocol absent: every port */
  #ports(name: string, portName?: string, protocol?: string): DnsRecord[] {
    const matches = (port: { readonly name?: string; readonly protocol?: string }): boolean =>
      portName === undefined ||
      (port.name?.toLowerCase() === portName && (port.protocol ?? "TCP").toLowerCase() === protocol);
    if (this.#clusterIP !== undefined) {
      const ports = (this.#service.spec?.ports ?? []).filter(matches);
      return ports.map(({ port }) => ({ type: "SRV", name, target: this.#name, port }));
    }
    return this.#endpoints().flatMap(({ label, ports }) =>
      ports
        .filter(matches)
        .map(({ port = 0 }): DnsRecord => ({ type: "SRV", name, target: `${label}.${this.#name}`, port })),
    );
  }

  get #clusterIP(): string | undefined {
    const address = this.#service.spec?.clusterIP;
    return address === undefined || address === "" || address === "None" ? undefined : address;
  }

  #endpoints(): NamedEndpoint[] {
    const { namespace, name } = this.#service.metadata;
    const all = this.#service.spec?.publishNotReadyAddresses === true;
    return this.#api
      .list<EndpointSlice>(resource.endpointSlices, namespace)
      .filter((slice) => serviceKey(slice) === `${namespace}/${name}`)
      .flatMap(({ endpoints, ports }) =>
        (endpoints ?? [])
          .filter((endpoint) => all || isReady(endpoint))
          .flatMap((endpoint) => named(endpoint, ports ?? [])),
      );
  }
}

function named(endpoint: Endpoint, ports: NamedEndpoint["ports"]): NamedEndpoint[] {
  const address = endpoint.addresses[0];
  if (address === undefined || address.includes(":")) return [];
  return [{ label: endpoint.hostname ?? address.replaceAll(".", "-"), address, ports }];
}
