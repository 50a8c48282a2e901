/** Which kinds are served: the built-in table, and what CustomResourceDefinitions add. */
import { apiVersionOf } from "../../kube/resources.ts";
import type { Kind } from "./kind.ts";
import { control } from "./kinds/control.ts";
import { core } from "./kinds/core.ts";
import { pods } from "./kinds/pods.ts";
import { quotas } from "./kinds/quotas.ts";
import { workloads } from "./kinds/workloads.ts";

export class Registry {
  readonly #kinds = new Map<string, Kind>();
  readonly #custom = new Map<string, readonly Kind[]>();

  constructor() {
    for (const kind of [...core, pods, quotas, ...workloads, ...control]) this.#kinds.set(id(kind), kind);
  }

  find(group: string, version: string, plural: string): Kind | undefined {
    return this.#kinds.get(id({ group, version, plural }));
  }

  byKind(apiVersion: string, kind: string): Kind | undefined {
    return this.all().find((entry) => entry.kind === kind && apiVersionOf(entry) === apiVersion);
  }

  all(): Kind[] {
    return [...this.#kinds.values()];
  }

  /** One entry a stored kind, whatever versions it is served in. */
  stored(): Kind[] {
    return [...new Map(this.all().map((kind) => [`${kind.group}/${kind.plural}`, kind])).values()];
  }

  /** Replaces what a definition serves; an empty list ends it. */
  setCustom(definition: string, kinds: readonly Kind[]): void {
    for (const kind of this.#custom.get(definition) ?? []) this.#kinds.delete(id(kind));
    this.#custom.set(definition, kinds);
    for (const kind of kinds) this.#kinds.set(id(kind), kind);
  }
}

function id(kind: Pick<Kind, "group" | "version" | "plural">): string {
  return `${kind.group}/${kind.version}/${kind.plural}`;
}
