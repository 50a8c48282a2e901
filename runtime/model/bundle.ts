/**
 * What travels in ConfigMaps (DESIGN decision 3). A bundle ConfigMap has binaryData:
 *   main.cjs.br            the program, one CommonJS file, brotli
 *   original-dst-<arch>.node  the native addon, `arch` as process.arch names it (proxy only)
 * The pod's spec carries the SHA-256 (hex) of every file; the loader verifies before it runs a byte.
 */
export const BUNDLE_MAIN = "main.cjs.br";
export const bundleAddon = (arch: string): string => `original-dst-${arch}.node`;

/** Mount path of the bundle in the proxy's and the controller's containers. */
export const BUNDLE_MOUNT = "/weft/bundle";

/** Environment of the loader, where the bundle is mounted elsewhere than {@link BUNDLE_MOUNT}. */
export const BUNDLE_FOLDER_ENV = "WEFT_BUNDLE_FOLDER";
/** Environment of the loader: JSON object, file name → SHA-256 in hex. */
export const BUNDLE_DIGESTS_ENV = "WEFT_BUNDLE_SHA256";
/** Folder private to the container where verified addons are written before they are loaded. */
export const BUNDLE_SCRATCH_ENV = "WEFT_BUNDLE_SCRATCH";

/**
 * Flags of a sidecar. Not `--single-threaded` nor `--expose-gc`: with either V8 rejects the code cache inside Node's binary, and
 * compiles and keeps it anew (20 ms of CPU at the start, 0.6 MiB). An idle proxy collects through its addon.
 */
export const PROXY_NODE_FLAGS: readonly string[] = [
  "--max-semi-space-size=1",
  "--max-old-space-size=48",
  // 0 would be one thread for each of the machine's cores.
  "--v8-pool-size=1",
  // Otherwise Node parses the 140 authorities it carries as soon as TLS is loaded (0.7 MiB). The mesh trusts only its own.
  "--use-openssl-ca",
];

/**
 * Environment of a sidecar's Node. One arena and one worker thread: its memory is counted in megabytes. What is 64 KiB or larger is
 * mapped on its own, for what a peak of bodies leaves in the arena is not given back while the proxy is at work; glibc raises its
 * thresholds by itself unless both are set.
 */
export const PROXY_NODE_ENV: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "65536",
  MALLOC_TRIM_THRESHOLD_: "1048576",
  UV_THREADPOOL_SIZE: "1",
};

/** Files of `dist/runtime` that the installer carries into the cluster. */
export interface Bundle {
  /** First 10 hex digits of the SHA-256 over the files' names and digests, sorted by name. */
  readonly hash: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** File name → SHA-256 in hex. */
  readonly digests: Readonly<Record<string, string>>;
}

/** A text as a container's argument: the kubelet expands `$(NAME)` and halves `$$` in `command` and `args`. */
export const literalArgument = (text: string): string => text.replaceAll("$", "$$$$");
