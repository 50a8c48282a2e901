/**
 * What the control plane's service account `weft-controller` may do: least privilege, as data. The installer makes a
 * ClusterRole of {@link clusterRules} and a Role in the control-plane namespace of {@link namespaceRules}.
 *
 * Rules with resourceNames also allow list and watch of those names only (fieldSelector metadata.name=…). Creating
 * cannot be limited by name.
 */
import { proxyBundleName, TRUST_ROOTS } from "./names.ts";
import { STATS_GROUP, STATS_VERSION, TAP_GROUP, TAP_VERSION } from "./statistics.ts";

/** A rule of rbac.authorization.k8s.io/v1. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** Secrets that the controller makes or takes as given. */
export const controlSecret = {
  /** kubernetes.io/tls or linkerd.io/tls: signs the proxies' leaves. */
  issuer: "linkerd-identity-issuer",
  /** kubernetes.io/tls: signs issuers; absent where the issuer was given. */
  trustAnchor: "weft-trust-anchor",
  injectorTls: "weft-injector-tls",
  vizTls: "weft-viz-tls",
} as const;

/** The object and the entry of it that carry the injector's caBundle. */
export const INJECTOR_WEBHOOK = {
  configuration: "weft-proxy-injector",
  webhook: "linkerd-proxy-injector.linkerd.io",
} as const;

export const CONTROLLER_LEASE = "weft-controller";

export const apiServiceNames: readonly string[] = [`${TAP_VERSION}.${TAP_GROUP}`, `${STATS_VERSION}.${STATS_GROUP}`];

const READ = ["get", "list", "watch"];

/**
 * @param hashes of every proxy bundle in the control-plane namespace: the one being installed, and older ones that pods
 * may still run, so that the controller can remove those when the last such pod is gone
 */
export function clusterRules(hashes: readonly string[]): PolicyRule[] {
  return [
    // Discovery, policy and injection read what runs where; viz the same for its figures.
    { apiGroups: [""], resources: ["pods", "services", "namespaces", "nodes"], verbs: READ },
    // Discovery: ready endpoints of services.
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: READ },
    // The workload above a pod (its ReplicaSet's Deployment, its Job's CronJob): events and labels name it. Viz lists workloads.
    { apiGroups: ["apps"], resources: ["replicasets", "deployments", "statefulsets", "daemonsets"], verbs: READ },
    { apiGroups: ["batch"], resources: ["jobs"], verbs: ["get"] },
    // Proxy bundle and trust roots must be in a namespace before its first meshed pod.
    { apiGroups: [""], resources: ["configmaps"], verbs: ["create"] },
    // Keep trust roots up to date everywhere; find bundles and remove those that no pod refers to.
    {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: [TRUST_ROOTS.configMap, ...hashes.map(proxyBundleName)],
      verbs: [...READ, "patch", "delete"],
    },
    // Injected and InjectionSkipped on workloads, issuer events in the control-plane namespace.
    { apiGroups: ["", "events.k8s.io"], resources: ["events"], verbs: ["create", "patch"] },
    // Identity: is this token of this service account, for audience identity.l5d.io?
    { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
    // Viz: may this user tap, or read statistics?
    { apiGroups: ["authorization.k8s.io"], resources: ["subjectaccessreviews"], verbs: ["create"] },
    // caBundle of the webhook, and of the APIServices that viz serves.
    {
      apiGroups: ["admissionregistration.k8s.io"],
      resources: ["mutatingwebhookconfigurations"],
      resourceNames: [INJECTOR_WEBHOOK.configuration],
      verbs: [...READ, "patch"],
    },
    {
      apiGroups: ["apiregistration.k8s.io"],
      resources: ["apiservices"],
      resourceNames: apiServiceNames,
      verbs: [...READ, "patch"],
    },
  ];
}

/** Rules of the Role in the control-plane namespace. */
export function namespaceRules(): PolicyRule[] {
  return [
    // CA material is made in the cluster, at first start.
    { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
    // Used when present, renewed where the controller made it.
    {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: Object.values(controlSecret),
      verbs: [...READ, "update", "patch"],
    },
    // The proxy bundles to copy into meshed namespaces; older ones go when no pod refers to them.
    { apiGroups: [""], resources: ["configmaps"], verbs: [...READ, "delete"] },
    // One replica writes and scrapes.
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: [CONTROLLER_LEASE],
      verbs: [...READ, "update", "patch"],
    },
  ];
}

/** Viz verifies requests that the API server passes on: bind this Role of kube-system to the service account. */
export const EXTENSION_AUTHENTICATION_READER = {
  namespace: "kube-system",
  role: "extension-apiserver-authentication-reader",
} as const;
