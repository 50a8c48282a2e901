import manifest from "../../package.json" with { type: "json" };

/** What `proxy_build_info` tells. */
export const PROXY_VERSION: string = manifest.version;
