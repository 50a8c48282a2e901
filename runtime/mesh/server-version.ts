/** Version of a Kubernetes API server. */
import type { KubeClient } from "../kube/types.ts";

/** Native sidecars are on by default since (KEP-753). */
export const OLDEST_KUBERNETES = { major: 1, minor: 29 } as const;

export interface ServerVersion {
  readonly major: number;
  readonly minor: number;
  /** As the server writes it, e.g. `v1.34.4`. */
  readonly text: string;
}

/** GET /version; distributions append signs to the minor (`29+`). */
export async function serverVersion(client: KubeClient, signal?: AbortSignal): Promise<ServerVersion> {
  const { major, minor, gitVersion } = await client.json<{ major: string; minor: string; gitVersion: string }>({
    method: "GET",
    path: "/version",
    ...(signal === undefined ? {} : { signal }),
  });
  return { major: Number.parseInt(major, 10), minor: Number.parseInt(minor, 10), text: gitVersion };
}
