/** The aggregated APIs that the controller's viz process serves: what their refusals mean. */
import { hasStatus, KubeError } from "../kube/errors.ts";
import { MeshError } from "./errors.ts";

/**
 * @param what e.g. `statistics of services`
 * @param permission what to ask an administrator for, e.g. `watch on pods.tap.linkerd.io`
 */
export function explainAggregated(error: unknown, what: string, permission: string): unknown {
  if (!(error instanceof KubeError)) return error;
  if (hasStatus(error, 403)) {
    return new MeshError(`you may not see ${what}: ${error.message}`, `Ask your administrator for: ${permission}.`, {
      cause: error,
    });
  }
  if (hasStatus(error, 404) && /could not find the requested resource|404 page not found/.test(error.message)) {
    return new MeshError(`no ${what}: the mesh is not installed in this cluster`, "Run weft install.", {
      cause: error,
    });
  }
  if (hasStatus(error, 503, 502, 504)) {
    return new MeshError(
      `no ${what}: the mesh's API does not answer (${error.message})`,
      "Run weft check; the container viz of Deployment weft-controller serves it.",
      { cause: error },
    );
  }
  return error;
}
