/**
 * What an installation decided, as the controller reads it: ConfigMap `weft-config` in the control-plane namespace, key
 * `config.json`, applied by the installer and mounted at {@link MESH_CONFIG_FILE}. Linkerd's counterpart is
 * `linkerd-config`, key `values`.
 */
export const MESH_CONFIG = { configMap: "weft-config", key: "config.json" } as const;

/** Where both containers of the control plane find it. */
export const MESH_CONFIG_FILE = "/weft/config/config.json";

export type DefaultInboundPolicy =
  | "all-unauthenticated"
  | "all-authenticated"
  | "cluster-unauthenticated"
  | "cluster-authenticated"
  | "deny"
  | "audit";

export interface MeshConfig {
  /** Version of Weft that was installed. */
  readonly version: string;
  readonly controlPlaneNamespace: string;
  readonly trustDomain: string;
  /** DNS domain of the cluster, without a final dot. */
  readonly clusterDomain: string;
  readonly clusterNetworks: readonly string[];
  readonly images: {
    /** Node 24 on its PATH: runs proxies and the control plane. */
    readonly node: string;
    /** iptables-restore on its PATH. */
    readonly init: string;
    readonly pullPolicy: "IfNotPresent" | "Always" | "Never";
  };
  /** The proxy's bundle: ConfigMap `weft-proxy-<hash>` of the control-plane namespace, copied into meshed namespaces. */
  readonly proxy: {
    readonly hash: string;
    /** File name → SHA-256 in hex. */
    readonly digests: Readonly<Record<string, string>>;
    /** Text of the loader that a pod's spec gives to `node -e`. */
    readonly loader: string;
    readonly logLevel: string;
    readonly resources: {
      readonly requests?: Readonly<Record<string, string>>;
      readonly limits?: Readonly<Record<string, string>>;
    };
  };
  readonly defaultInboundPolicy: DefaultInboundPolicy;
  readonly opaquePorts: readonly number[];
  /** Whether meshed pods are called over HTTP/2, also by clients that speak HTTP/1 (Linkerd's enableH2Upgrade). Absent: {@link DEFAULT_HTTP2_UPGRADE}. */
  readonly http2Upgrade?: boolean;
}

export const DEFAULT_HTTP2_UPGRADE = true;
