/** What is known of the chosen cluster, and what the user therefore sees. Knows no `vscode`. */
import type { MeshState } from "../../runtime/mesh/types.ts";
import type { Situation } from "../contributions.ts";
import type { Explanation } from "../errors/explain.ts";
import type { Session } from "./session.ts";

export type ClusterState =
  | { readonly kind: "none"; readonly candidate?: string; readonly problem?: Explanation }
  | { readonly kind: "connecting"; readonly context: string }
  | { readonly kind: "failed"; readonly context: string; readonly failure: Explanation }
  | {
      readonly kind: "connected";
      readonly session: Session;
      readonly mesh: MeshState;
      /** Why nothing can be seen although the mesh is there. */
      readonly denied?: Explanation;
    };

export function situationOf(state: ClusterState): Situation {
  switch (state.kind) {
    case "none":
      return state.problem === undefined ? "no-cluster" : "no-kubeconfig";
    case "connecting":
      return "connecting";
    case "failed":
      switch (state.failure.trouble) {
        case "kubeconfig":
          return "no-kubeconfig";
        case "unauthorized":
          return "unauthorized";
        case "forbidden":
          return "no-rights";
        default:
          return "unreachable";
      }
    case "connected":
      if (state.mesh.kind === "absent") return "no-mesh";
      if (state.mesh.kind === "other") return "other-mesh";
      if (state.denied !== undefined) return "no-rights";
      return state.mesh.ready ? "ready" : "not-ready";
  }
}

/** The context's name that titles show; undefined before one is chosen. */
export function contextOf(state: ClusterState): string | undefined {
  switch (state.kind) {
    case "none":
      return undefined;
    case "connected":
      return state.session.context.name;
    default:
      return state.context;
  }
}
