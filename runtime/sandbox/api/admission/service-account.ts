/** Every pod runs as a service account and finds its token (admission plugins ServiceAccount, Priority, DefaultTolerationSeconds). */
import { resource } from "../../../kube/resources.ts";
import type { AdmissionPlugin } from "../admission.ts";
import { setDefault } from "../kinds/pod-template.ts";
import { ensureFields, type Fields, listAt, randomSuffix, stringAt } from "../object.ts";
import { forbidden } from "../status.ts";
import type { ObjectStore } from "../store.ts";

const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_SECONDS = 3607;

export function serviceAccountAdmission(store: ObjectStore): AdmissionPlugin {
  return {
    mutate({ kind, namespace, name, operation, subresource, object }) {
      if (kind.kind !== "Pod" || operation !== "CREATE" || subresource !== "" || object === undefined) return;
      const spec = ensureFields(object, "spec");
      defaultPriority(spec);
      const accountName = stringAt(spec, "serviceAccountName") ?? "default";
      spec["serviceAccountName"] = accountName;
      spec["serviceAccount"] = accountName;
      const account = store.get(resource.serviceAccounts, namespace, accountName);
      if (account === undefined) {
        throw forbidden(
          kind,
          name,
          `error looking up service account ${namespace}/${accountName}: serviceaccount "${accountName}" not found`,
        );
      }
      const wanted = spec["automountServiceAccountToken"] ?? account["automountServiceAccountToken"] ?? true;
      if (wanted === true) mountToken(spec);
      if (listAt(spec, "imagePullSecrets").length === 0 && listAt(account, "imagePullSecrets").length > 0) {
        spec["imagePullSecrets"] = listAt(account, "imagePullSecrets");
      }
    },
  };
}

function mountToken(spec: Fields): void {
  const volumes = listAt(spec, "volumes");
  const containers = [...listAt(spec, "initContainers"), ...listAt(spec, "containers")];
  const missing = containers.filter(
    (container) => !listAt(container, "volumeMounts").some((mount) => mount["mountPath"] === MOUNT_PATH),
  );
  if (missing.length === 0) return;
  const present = volumes.find((volume) => String(volume["name"]).startsWith("kube-api-access-"));
  const name = present === undefined ? `kube-api-access-${randomSuffix()}` : String(present["name"]);
  for (const container of missing) {
    container["volumeMounts"] = [...listAt(container, "volumeMounts"), { name, readOnly: true, mountPath: MOUNT_PATH }];
  }
  if (present !== undefined) return;
  const token = {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    },
  };
  spec["volumes"] = [...volumes, token];
}

function defaultPriority(spec: Fields): void {
  setDefault(spec, "priority", 0);
  setDefault(spec, "preemptionPolicy", "PreemptLowerPriority");
  const tolerations = listAt(spec, "tolerations");
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    const tolerated = tolerations.some(
      (entry) => (entry["key"] ?? key) === key && (entry["effect"] ?? "NoExecute") === "NoExecute",
    );
    if (!tolerated) tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 });
  }
  spec["tolerations"] = tolerations;
}
