/** Names of workloads in certificates: DNS names, as Linkerd's (reference 5.4), not SPIFFE ids. */

export interface IdentityScope {
  /** Control-plane namespace, e.g. `weft`. */
  readonly controlPlaneNamespace: string;
  /** Trust domain, e.g. `cluster.local`. */
  readonly trustDomain: string;
}

export const DEFAULT_TRUST_DOMAIN = "cluster.local";

/** `<service account>.<namespace>.serviceaccount.identity.<control-plane namespace>.<trust domain>` */
export function workloadIdentity(scope: IdentityScope, namespace: string, serviceAccount: string): string {
  return `${serviceAccount}.${namespace}.serviceaccount.identity.${scope.controlPlaneNamespace}.${scope.trustDomain}`;
}

/** Name in the issuer's certificate. */
export function issuerIdentity(scope: IdentityScope): string {
  return `identity.${scope.controlPlaneNamespace}.${scope.trustDomain}`;
}

/** The short form that people read: `web.shop` for service account `web` in namespace `shop`; other names unchanged. */
export function shortIdentity(identity: string): string {
  const marker = identity.indexOf(".serviceaccount.identity.");
  return marker === -1 ? identity : identity.slice(0, marker);
}

/** The service account of the control plane; its identity serves every control-plane port and is tap's client name. */
export const CONTROLLER_SERVICE_ACCOUNT = "weft-controller";

/** Names of the control plane's Services. All select the same pods; the names differ so that SNI and DNS tell them apart. */
export const controlService = {
  identity: "weft-identity",
  destination: "weft-destination",
  policy: "weft-policy",
  injector: "weft-injector",
  /** Serves the APIServices tap.linkerd.io and stats.weft.dev. */
  viz: "weft-viz",
} as const;
