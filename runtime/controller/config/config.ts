/** What the controller is told at its start: the mesh's configuration and who this pod is. */
import { readFile } from "node:fs/promises";
import { MESH_CONFIG, MESH_CONFIG_FILE, type MeshConfig } from "../../model/mesh-config.ts";

export interface ControllerConfig {
  readonly mesh: MeshConfig;
  /** This pod, as the Lease names its holder. */
  readonly podName: string;
  /** The control-plane namespace that this pod runs in. */
  readonly namespace: string;
}

/** The configuration is missing or makes no sense; the message says which field. */
export class ConfigError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ConfigError";
  }
}

/** @throws ConfigError */
export async function readConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
  file: string = MESH_CONFIG_FILE,
): Promise<ControllerConfig> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: is ConfigMap ${MESH_CONFIG.configMap} mounted?`, { cause });
  }
  const mesh = parseMeshConfig(text);
  const podName = env["WEFT_POD_NAME"];
  const namespace = env["WEFT_POD_NAMESPACE"];
  if (podName === undefined || podName === "" || namespace === undefined || namespace === "") {
    throw new ConfigError("WEFT_POD_NAME and WEFT_POD_NAMESPACE must name this pod");
  }
  if (namespace !== mesh.controlPlaneNamespace) {
    throw new ConfigError(
      `this pod runs in "${namespace}", but ConfigMap ${MESH_CONFIG.configMap} names the control-plane namespace "${mesh.controlPlaneNamespace}"`,
    );
  }
  return { mesh, podName, namespace };
}

/** @throws ConfigError naming the first field that is missing or of the wrong type */
export function parseMeshConfig(text: string): MeshConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`key ${MESH_CONFIG.key} of ConfigMap ${MESH_CONFIG.configMap} is no JSON`, { cause });
  }
  for (const [path, check] of FIELDS) {
    const found = path
      .split(".")
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], value);
    if (!check(found)) {
      throw new ConfigError(`${MESH_CONFIG.key} of ConfigMap ${MESH_CONFIG.configMap}: "${path}" is missing or wrong`);
    }
  }
  return value as MeshConfig;
}

const isText = (value: unknown): boolean => typeof value === "string" && value !== "";
const isList = (of: (item: unknown) => boolean) => (value: unknown) => Array.isArray(value) && value.every(of);
const isRecord = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);
const isFlagOrAbsent = (value: unknown): boolean => value === undefined || typeof value === "boolean";
const isPort = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) < 65536;

const FIELDS: readonly (readonly [string, (value: unknown) => boolean])[] = [
  ["version", isText],
  ["controlPlaneNamespace", isText],
  ["trustDomain", isText],
  ["clusterDomain", isText],
  ["clusterNetworks", isList(isText)],
  ["images.node", isText],
  ["images.init", isText],
  ["images.pullPolicy", isText],
  ["proxy.hash", isText],
  ["proxy.digests", isRecord],
  ["proxy.loader", isText],
  ["proxy.logLevel", isText],
  ["proxy.resources", isRecord],
  ["defaultInboundPolicy", isText],
  ["opaquePorts", isList(isPort)],
  ["http2Upgrade", isFlagOrAbsent],
];
