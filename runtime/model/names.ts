/**
 * The names that make a Kubernetes object part of the mesh: labels, annotations, containers, volumes.
 * Linkerd's own wherever Linkerd has one (reference 3.1, 3.3); `weft` where it has none.
 */

/** Default control-plane namespace. */
export const CONTROL_PLANE_NAMESPACE = "weft";

/** Field manager of everything the installer applies. */
export const INSTALLER_FIELD_MANAGER = "weft";
/** Field manager of what the controller writes into objects the installer owns (caBundle). */
export const CONTROLLER_FIELD_MANAGER = "weft-controller";

export const label = {
  controlPlaneNamespace: "linkerd.io/control-plane-ns",
  workloadNamespace: "linkerd.io/workload-ns",
  controlPlaneComponent: "linkerd.io/control-plane-component",
  isControlPlane: "linkerd.io/is-control-plane",
  /** `linkerd.io/proxy-<owner kind, lower case>`: name of the owner. */
  proxyOwner: (ownerKind: string): string => `linkerd.io/proxy-${ownerKind.toLowerCase()}`,
  /** On every object the installer applies, so that uninstall finds all of them. */
  managedBy: "app.kubernetes.io/managed-by",
  partOf: "app.kubernetes.io/part-of",
  admissionWebhooks: "config.linkerd.io/admission-webhooks",
} as const;

/** Value of {@link label.managedBy} and {@link label.partOf} on everything Weft installs. */
export const WEFT = "weft";

export const annotation = {
  inject: "linkerd.io/inject",
  createdBy: "linkerd.io/created-by",
  proxyVersion: "linkerd.io/proxy-version",
  trustRootSha256: "linkerd.io/trust-root-sha256",
  /** Set on pod templates to make a rollout; the same key kubectl uses. */
  restartedAt: "kubectl.kubernetes.io/restartedAt",
  tapEnabled: "viz.linkerd.io/tap-enabled",
  disableTap: "viz.linkerd.io/disable-tap",
  opaquePorts: "config.linkerd.io/opaque-ports",
  skipInboundPorts: "config.linkerd.io/skip-inbound-ports",
  skipOutboundPorts: "config.linkerd.io/skip-outbound-ports",
  skipSubnets: "config.linkerd.io/skip-subnets",
  defaultInboundPolicy: "config.linkerd.io/default-inbound-policy",
  proxyLogLevel: "config.linkerd.io/proxy-log-level",
  proxyAwait: "config.linkerd.io/proxy-await",
  proxyNativeSidecar: "config.linkerd.io/proxy-enable-native-sidecar",
  proxyCpuRequest: "config.linkerd.io/proxy-cpu-request",
  proxyCpuLimit: "config.linkerd.io/proxy-cpu-limit",
  proxyMemoryRequest: "config.linkerd.io/proxy-memory-request",
  proxyMemoryLimit: "config.linkerd.io/proxy-memory-limit",
  shutdownGracePeriod: "config.linkerd.io/shutdown-grace-period",
} as const;

/** Prefix of annotations that a namespace hands down to its pods. */
export const CONFIG_ANNOTATION_PREFIX = "config.linkerd.io/";

export const container = { init: "linkerd-init", proxy: "linkerd-proxy" } as const;

export const volume = {
  identityEndEntity: "linkerd-identity-end-entity",
  identityToken: "linkerd-identity-token",
  xtablesLock: "linkerd-proxy-init-xtables-lock",
  trustRoots: "linkerd-identity-trust-roots",
  /** The proxy bundle: ConfigMap `weft-proxy-<hash>`. */
  bundle: "weft-proxy-bundle",
  /** Where the loader puts the verified addon. */
  scratch: "weft-proxy-scratch",
  /** The redirect's rules, a file made of an annotation. */
  redirectRules: "weft-redirect-rules",
} as const;

/** ConfigMap in every meshed namespace with the trust anchors, and its key. */
export const TRUST_ROOTS = { configMap: "linkerd-identity-trust-roots", key: "ca-bundle.crt" } as const;

/** Immutable ConfigMap with the proxy; `hash` is the first 10 hex digits of the bundle's SHA-256. */
export const proxyBundleName = (hash: string): string => `weft-proxy-${hash}`;
export const controllerBundleName = (hash: string): string => `weft-controller-${hash}`;

/** Audience of the service-account tokens that identity accepts (reference 5.4). */
export const IDENTITY_AUDIENCE = "identity.l5d.io";

/** User that the proxy runs as and that the redirect exempts. */
export const PROXY_UID = 2102;
export const CONTROLLER_UID = 2103;
