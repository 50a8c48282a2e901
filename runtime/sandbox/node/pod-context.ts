/** What a pod gives to each of its containers. */
import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxApi } from "../seam.ts";
import type { ProcessSpec } from "./container-process.ts";
import type { PodPlace } from "./downward.ts";
import { ConfigError, containerEnvironment, expand } from "./environment.ts";
import { objectData } from "./object-data.ts";
import type { Container, Pod } from "./pod-types.ts";
import { refusedUser, setprivArguments, userOf } from "./privileges.ts";
import { buildRoot, type Mount } from "./rootfs.ts";
import type { PodVolumes } from "./volumes.ts";

export interface ClusterAddresses {
  readonly dns: string;
  /** ClusterIP of Service kubernetes. */
  readonly apiServer: string;
  readonly domain: string;
}

/** CreateContainerError: as the object is, no try can succeed. */
export class UnsupportedContainerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnsupportedContainerError";
  }
}

export class PodContext {
  /** As the API has it now: annotations may change while it runs. */
  pod: Pod;
  readonly api: SandboxApi;
  readonly folder: string;
  readonly volumes: PodVolumes;
  readonly place: PodPlace;
  readonly networkNamespace: string;
  readonly #cluster: ClusterAddresses;

  constructor(
    pod: Pod,
    parts: {
      readonly api: SandboxApi;
      readonly folder: string;
      readonly volumes: PodVolumes;
      readonly place: PodPlace;
      readonly networkNamespace: string;
      readonly cluster: ClusterAddresses;
    },
  ) {
    this.pod = pod;
    this.api = parts.api;
    this.folder = parts.folder;
    this.volumes = parts.volumes;
    this.place = parts.place;
    this.networkNamespace = parts.networkNamespace;
    this.#cluster = parts.cluster;
  }

  event(type: "Normal" | "Warning", reason: string, message: string): void {
    this.api.event(this.pod, type, reason, message);
  }

  /**
   * All that a run of a container needs, with a fresh root.
   * @throws ConfigError, UnsupportedContainerError; Error where the root cannot be made
   */
  async processSpec(container: Container, rootFolder: string, logFile: string): Promise<ProcessSpec> {
    const { pod } = this;
    const { securityContext } = pod.spec;
    const refused = refusedUser(container, securityContext);
    if (refused !== undefined) throw new ConfigError(refused);
    if (container.command === undefined || container.command.length === 0) {
      throw new UnsupportedContainerError(
        `container ${container.name} has no command: the sandbox runs programs of this machine and knows no image's entrypoint`,
      );
    }
    const env = containerEnvironment(pod, container, this.place, objectData(this.api, pod.metadata.namespace), {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOSTNAME: this.#hostname,
      HOME: homeOf(userOf(container, securityContext).uid),
      KUBERNETES_SERVICE_HOST: this.#cluster.apiServer,
      KUBERNETES_SERVICE_PORT: "443",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
    });
    const fstab = await buildRoot({
      folder: rootFolder,
      readOnly: container.securityContext?.readOnlyRootFilesystem ?? false,
      etc: this.#etc(),
      mounts: await this.#mounts(container),
    });
    return {
      workFolder: join(rootFolder, ".."),
      rootFolder,
      fstab,
      networkNamespace: this.networkNamespace,
      hostname: this.#hostname,
      privileges: setprivArguments(container, securityContext),
      env,
      workingDir: container.workingDir ?? "/",
      argv: [...container.command, ...(container.args ?? [])].map((argument) => expand(argument, env)),
      logFile,
    };
  }

  get #hostname(): string {
    return (this.pod.spec.hostname ?? this.pod.metadata.name).slice(0, 63);
  }

  #etc(): Record<string, string> {
    const { dns, domain } = this.#cluster;
    const search = [`${this.pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain].join(" ");
    const { hostname: _, subdomain } = this.pod.spec;
    const full = subdomain ? `${this.#hostname}.${subdomain}.${this.pod.metadata.namespace}.svc.${domain}\t` : "";
    return {
      "resolv.conf": `search ${search}\nnameserver ${dns}\noptions ndots:5\n`,
      hostname: `${this.#hostname}\n`,
      hosts: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${this.place.podAddress}\t${full}${this.#hostname}\n`,
    };
  }

  async #mounts(container: Container): Promise<Mount[]> {
    const mounts: Mount[] = [];
    for (const { name, mountPath, subPath, readOnly } of container.volumeMounts ?? []) {
      const volume = this.pod.spec.volumes?.find((candidate) => candidate.name === name);
      if (volume === undefined) throw new UnsupportedContainerError(`volumeMount "${name}" names no volume of the pod`);
      const writable = volume.emptyDir !== undefined && readOnly !== true;
      const source = subPath ? await this.#subPath(name, subPath, writable) : this.volumes.path(name);
      mounts.push({ source, target: mountPath, readOnly: !writable });
    }
    return mounts;
  }

  async #subPath(volume: string, subPath: string, writable: boolean): Promise<string> {
    const root = await realpath(this.volumes.path(volume));
    const path = join(root, subPath);
    if (writable) await mkdir(path, { recursive: true });
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined) throw new ConfigError(`subPath "${subPath}" is not in volume "${volume}"`);
    if (real !== root && !real.startsWith(`${root}/`))
      throw new ConfigError(`subPath "${subPath}" leads out of its volume`);
    return real;
  }
}

function homeOf(uid: number): string {
  if (uid === 0) return "/root";
  return uid === 1000 ? "/home/node" : "/";
}
