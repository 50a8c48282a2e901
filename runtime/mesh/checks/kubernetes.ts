/** Checks of the cluster itself and of the user's rights in it. */
import { KubeConnectionError } from "../../kube/errors.ts";
import { STATS_GROUP, TAP_GROUP } from "../../model/statistics.ts";
import { findOtherMesh } from "../detect.ts";
import { describeRights, INSTALL_RIGHTS, missingRights, type Right } from "../rights.ts";
import { OLDEST_KUBERNETES, serverVersion } from "../server-version.ts";
import { type CheckCategory, failure, success, warning } from "./check.ts";

const STATISTICS: readonly Right[] = ["services", "deployments", "pods", "edges"].map((plural) => ({
  verb: "get",
  resource: { group: STATS_GROUP, plural },
}));

const TAP: readonly Right[] = [
  { verb: "watch", resource: { group: TAP_GROUP, plural: "deployments" }, subresource: "tap" },
];

export const kubernetesApi: CheckCategory = {
  name: "kubernetes-api",
  checks: [
    {
      description: "can query the Kubernetes API",
      fatal: true,
      async run({ client }) {
        try {
          await serverVersion(client);
          return success;
        } catch (error) {
          if (!(error instanceof KubeConnectionError)) throw error;
          return failure(error.message, "Is the right context chosen? kubectl config get-contexts");
        }
      },
    },
  ],
};

export const kubernetesVersion: CheckCategory = {
  name: "kubernetes-version",
  checks: [
    {
      description: "is running the minimum Kubernetes API version",
      async run({ client }) {
        const { major, minor, text } = await serverVersion(client);
        const { major: oldest, minor: oldestMinor } = OLDEST_KUBERNETES;
        if (major > oldest || (major === oldest && minor >= oldestMinor)) return success;
        return failure(
          `the cluster runs ${text}; Weft needs ${oldest}.${oldestMinor} or newer (native sidecars)`,
          "Upgrade the cluster.",
        );
      },
    },
  ],
};

export const installRights: CheckCategory = {
  name: "pre-kubernetes-setup",
  checks: [
    {
      description: "can install the control plane",
      async run({ client }) {
        const missing = await missingRights(client, INSTALL_RIGHTS);
        if (missing.length === 0) return success;
        return failure(`missing: ${describeRights(missing)}`, "cluster-admin can install; ask an administrator.");
      },
    },
  ],
};

export const userRights: CheckCategory = {
  name: "weft-rights",
  checks: [
    {
      description: "can read statistics",
      async run({ client }) {
        const missing = await missingRights(client, STATISTICS);
        if (missing.length === 0) return success;
        return warning(
          `not in all namespaces: missing ${describeRights(missing)}`,
          "The ClusterRole weft-stats-view, which is part of view, grants it.",
        );
      },
    },
    {
      description: "can tap live requests",
      async run({ client }) {
        const missing = await missingRights(client, TAP);
        if (missing.length === 0) return success;
        return warning(
          `not in all namespaces: missing ${describeRights(missing)}`,
          "An administrator grants it by the ClusterRole weft-tap-admin; view and edit do not hold it.",
        );
      },
    },
  ],
};

export const otherMeshes: CheckCategory = {
  name: "other-meshes",
  checks: [
    {
      description: "no other mesh is installed",
      async run({ client }) {
        const other = await findOtherMesh(client);
        if (other === undefined) return success;
        return failure(
          `${other.name} ${other.version} runs in namespace ${other.namespace}`,
          `Two meshes would redirect the same traffic: use ${other.name} or Weft, not both.`,
        );
      },
    },
  ],
};
