/** A container's environment, and `$(NAME)` in its command. */
import { type PodPlace, podField, resourceField } from "./downward.ts";
import type { Container, EnvVar, Pod } from "./pod-types.ts";

/** ConfigMaps and Secrets of the pod's namespace; undefined for what is not there. */
export interface ObjectData {
  configMap(name: string): ReadonlyMap<string, Buffer> | undefined;
  /** `data` only: what an environment can hold. */
  configMapTexts(name: string): ReadonlyMap<string, Buffer> | undefined;
  secret(name: string): ReadonlyMap<string, Buffer> | undefined;
}

/** The container cannot start before something else is there: reason CreateContainerConfigError. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ConfigError";
  }
}

/**
 * @param base what every container has: PATH, HOSTNAME, the API server's address
 * @throws ConfigError for a ConfigMap, Secret or key that is missing and not optional
 */
export function containerEnvironment(
  pod: Pod,
  container: Container,
  place: PodPlace,
  objects: ObjectData,
  base: Readonly<Record<string, string>>,
): Map<string, string> {
  const env = new Map(Object.entries(base));
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const reference = configMapRef ?? secretRef;
    if (reference === undefined) continue;
    const data = configMapRef ? objects.configMapTexts(reference.name) : objects.secret(reference.name);
    if (data === undefined && !reference.optional) throw missing(configMapRef ? "configmap" : "secret", reference.name);
    for (const [key, value] of data ?? []) env.set(prefix + key, value.toString("utf8"));
  }
  for (const variable of container.env ?? []) {
    const value = variableValue(variable, pod, container, place, objects);
    // What stands above, and the base, is known to what stands below.
    if (value !== undefined) env.set(variable.name, variable.valueFrom ? value : expand(value, env));
  }
  return env;
}

function variableValue(
  { name, value, valueFrom }: EnvVar,
  pod: Pod,
  container: Container,
  place: PodPlace,
  objects: ObjectData,
): string | undefined {
  if (valueFrom === undefined) return value ?? "";
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef !== undefined) {
    const field = podField(pod, fieldRef, place);
    if (field === undefined) throw new ConfigError(`env ${name}: unsupported fieldPath ${fieldRef.fieldPath}`);
    return field;
  }
  if (resourceFieldRef !== undefined) {
    const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    const named = all.find((other) => other.name === resourceFieldRef.containerName) ?? container;
    const amount = resourceField(named, resourceFieldRef);
    if (amount === undefined) throw new ConfigError(`env ${name}: unsupported resource ${resourceFieldRef.resource}`);
    return amount;
  }
  const reference = configMapKeyRef ?? secretKeyRef;
  if (reference === undefined) return "";
  const kind = configMapKeyRef ? "configmap" : "secret";
  const data = configMapKeyRef ? objects.configMapTexts(reference.name) : objects.secret(reference.name);
  const found = data?.get(reference.key);
  if (found !== undefined) return found.toString("utf8");
  if (reference.optional) return undefined;
  if (data === undefined) throw missing(kind, reference.name);
  throw new ConfigError(`couldn't find key ${reference.key} in ${kind} ${pod.metadata.namespace}/${reference.name}`);
}

function missing(kind: string, name: string): ConfigError {
  return new ConfigError(`${kind} "${name}" not found`);
}

/** `$(NAME)` becomes the variable's value where there is one; `$$` becomes `$` (kubernetes third_party/forked/golang/expansion). */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (match: string, name: string | undefined) =>
    name === undefined ? "$" : (env.get(name) ?? match),
  );
}
