/** Which ports carry no HTTP: the object's own annotation before its namespace's before the mesh's list (reference 6.3). */
import type { MeshConfig } from "../../model/mesh-config.ts";
import { annotation } from "../../model/names.ts";
import { type PortRange, rangesInclude } from "../../model/ports.ts";
import { type NamedPort, parsePortSet } from "../config/port-sets.ts";
import type { ClusterState } from "./cluster-state.ts";
import type { PodView, ServiceView } from "./projections.ts";

/** What of the cluster it takes to say so. */
export type Namespaces = Pick<ClusterState, "namespace">;

export function isOpaque(state: Namespaces, mesh: MeshConfig, object: PodView | ServiceView, port: number): boolean {
  return rangesInclude(opaqueRanges(state, mesh, object), port);
}

function opaqueRanges(state: Namespaces, mesh: MeshConfig, object: PodView | ServiceView): readonly PortRange[] {
  const text = configAnnotation(state, object, annotation.opaquePorts);
  if (text === undefined) return mesh.opaquePorts.map((port) => ({ first: port, last: port }));
  return parsePortSet(text, object.ports as readonly NamedPort[]).ranges;
}

/** An annotation of the object, else of its namespace. */
export function configAnnotation(state: Namespaces, object: PodView | ServiceView, key: string): string | undefined {
  const { namespace = "", annotations } = object.metadata;
  return annotations?.[key] ?? state.namespace(namespace)?.metadata.annotations?.[key];
}
