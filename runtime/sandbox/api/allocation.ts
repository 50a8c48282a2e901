/** ClusterIPs and node ports: given to Services when they are made, taken back when they go. */
import { resource } from "../../kube/resources.ts";
import { invalidValue } from "./field-errors.ts";
import type { Kind } from "./kind.ts";
import { ensureFields, type Fields, fieldsAt, listAt, numberAt, type StoredObject, stringAt } from "./object.ts";
import type { Allocator } from "./operations.ts";
import { internalError, invalid } from "./status.ts";
import type { ObjectStore } from "./store.ts";

const NODE_PORTS = { first: 30000, last: 32767 };

export class ServiceAllocator implements Allocator {
  readonly #store: ObjectStore;
  readonly #base: number;
  readonly #size: number;
  #next = 16;

  /** @param serviceCidr e.g. `10.96.0.0/16`; its first address is Service kubernetes */
  constructor(store: ObjectStore, serviceCidr: string) {
    this.#store = store;
    const [address = "", bits = "16"] = serviceCidr.split("/");
    this.#base = toNumber(address);
    this.#size = 2 ** (32 - Number(bits));
  }

  get firstAddress(): string {
    return toAddress(this.#base + 1);
  }

  allocate(kind: Kind, object: StoredObject, old: StoredObject | undefined): undefined {
    if (kind.kind !== "Service" || kind.group !== "") return;
    const spec = ensureFields(object, "spec");
    if (spec["type"] === "ExternalName") {
      for (const field of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]) delete spec[field];
      return;
    }
    if (old !== undefined) keepFromOld(spec, fieldsAt(old, "spec"));
    this.#giveAddress(object, spec);
    if (spec["type"] === "NodePort" || spec["type"] === "LoadBalancer") this.#giveNodePorts(object, spec);
    else for (const port of listAt(spec, "ports")) delete port["nodePort"];
  }

  #giveAddress(object: StoredObject, spec: Fields): void {
    const wanted = stringAt(spec, "clusterIP") ?? "";
    const taken = this.#taken(object, (service) => [stringAt(service, "spec", "clusterIP") ?? ""]);
    if (wanted === "") spec["clusterIP"] = this.#freeAddress(taken);
    else if (wanted !== "None") {
      const offset = toNumber(wanted) - this.#base;
      if (!(offset > 0 && offset < this.#size - 1)) {
        throw invalid(resource.services, object.metadata.name, [
          invalidValue(
            "spec.clusterIPs",
            [wanted],
            `failed to allocate IP ${wanted}: the provided IP is not in the valid range`,
          ),
        ]);
      }
      if (taken.has(wanted)) {
        throw invalid(resource.services, object.metadata.name, [
          invalidValue(
            "spec.clusterIPs",
            [wanted],
            `failed to allocate IP ${wanted}: provided IP is already allocated`,
          ),
        ]);
      }
    }
    spec["clusterIPs"] = [spec["clusterIP"]];
  }

  #freeAddress(taken: ReadonlySet<string>): string {
    for (let tried = 0; tried < this.#size; tried++) {
      this.#next = this.#next + 1 >= this.#size - 1 ? 16 : this.#next + 1;
      const address = toAddress(this.#base + this.#next);
      if (!taken.has(address)) return address;
    }
    throw internalError("failed to allocate a serviceIP: range is full");
  }

  #giveNodePorts(object: StoredObject, spec: Fields): void {
    const taken = this.#taken(object, (service) =>
      listAt(service, "spec", "ports").map((port) => String(port["nodePort"])),
    );
    for (const port of listAt(spec, "ports")) {
      if (numberAt(port, "nodePort") !== undefined && port["nodePort"] !== 0) continue;
      for (let candidate = NODE_PORTS.first; candidate <= NODE_PORTS.last; candidate++) {
        if (taken.has(String(candidate))) continue;
        port["nodePort"] = candidate;
        taken.add(String(candidate));
        break;
      }
    }
  }

  /** What the other Services hold. */
  #taken(object: StoredObject, values: (service: StoredObject) => string[]): Set<string> {
    const { name, namespace } = object.metadata;
    const others = this.#store
      .snapshot(resource.services)
      .objects.filter(({ metadata }) => metadata.name !== name || metadata.namespace !== namespace);
    return new Set(others.flatMap(values));
  }
}

/** An update that leaves out what was allocated keeps it. */
function keepFromOld(spec: Fields, old: Fields): void {
  if ((stringAt(spec, "clusterIP") ?? "") === "" && stringAt(old, "clusterIP") !== undefined) {
    spec["clusterIP"] = old["clusterIP"];
  }
  for (const port of listAt(spec, "ports")) {
    if (port["nodePort"] !== undefined) continue;
    const before = listAt(old, "ports").find(
      (entry) => entry["port"] === port["port"] && entry["protocol"] === port["protocol"],
    );
    if (before?.["nodePort"] !== undefined) port["nodePort"] = before["nodePort"];
  }
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}
