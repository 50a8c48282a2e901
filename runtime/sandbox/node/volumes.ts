/** The volumes of one pod: folders of the host that its containers mount. */
import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxApi } from "../seam.ts";
import { type Owner, type VolumeFile, writeAtomically } from "./atomic-folder.ts";
import { downwardFile } from "./downward.ts";
import type { ObjectData } from "./environment.ts";
import { objectData } from "./object-data.ts";
import type { DownwardItem, ObjectSource, Pod, TokenSource, Volume } from "./pod-types.ts";

/** What is missing for a volume; the pod waits (event FailedMount). */
export class VolumeError extends Error {
  constructor(volume: string, message: string) {
    super(`MountVolume.SetUp failed for volume "${volume}" : ${message}`);
    this.name = "VolumeError";
  }
}

interface HeldToken {
  readonly token: string;
  readonly renewAt: number;
}

type Files = Map<string, VolumeFile>;

const DEFAULT_MODE = 0o644;
/** The kubelet renews a token at 80 % of its life, or after a day. */
const TOKEN_LIFE_SHARE = 0.8;
const TOKEN_LONGEST_MS = 24 * 3_600_000;

export class PodVolumes {
  readonly #folder: string;
  readonly #api: SandboxApi;
  readonly #objects: ObjectData;
  readonly #tokens = new Map<string, HeldToken>();
  /** Writers take turns. */
  #turn: Promise<void> = Promise.resolve();

  /** @param folder of the pod's own; made when volumes are written */
  constructor(folder: string, namespace: string, api: SandboxApi) {
    this.#folder = folder;
    this.#api = api;
    this.#objects = objectData(api, namespace);
  }

  /** The host's folder that holds a volume's files. */
  path(volume: string): string {
    return join(this.#folder, volume);
  }

  /** Writes what is new or changed. @throws VolumeError */
  write(pod: Pod): Promise<void> {
    const mine = this.#turn.then(() => this.#writeAll(pod));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #writeAll(pod: Pod): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      try {
        await this.#writeOne(pod, volume);
      } catch (error) {
        throw new VolumeError(volume.name, error instanceof Error ? error.message : String(error));
      }
    }
  }

  async #writeOne(pod: Pod, volume: Volume): Promise<void> {
    const folder = this.path(volume.name);
    const isNew = (await mkdir(folder, { recursive: true })) !== undefined;
    const fsGroup = pod.spec.securityContext?.fsGroup;
    if (volume.emptyDir !== undefined) {
      if (!isNew) return;
      if (fsGroup !== undefined) await chown(folder, 0, fsGroup);
      await chmod(folder, fsGroup === undefined ? 0o777 : 0o2777);
      return;
    }
    const files = this.#files(pod, volume);
    const owner: Owner = { uid: fsUser(pod) ?? 0, gid: fsGroup ?? 0 };
    await writeAtomically(folder, fsGroup === undefined ? files : readableByGroup(files), owner);
  }

  #files(pod: Pod, volume: Volume): Files {
    const { configMap, secret, downwardAPI, projected } = volume;
    if (configMap !== undefined) return this.#objectFiles("configmap", configMap, pod, configMap.defaultMode);
    if (secret !== undefined) {
      const { secretName = "", ...rest } = secret;
      return this.#objectFiles("secret", { name: secretName, ...rest }, pod, secret.defaultMode);
    }
    if (downwardAPI !== undefined) return downwardFiles(pod, downwardAPI.items, downwardAPI.defaultMode);
    if (projected === undefined) {
      const kind = Object.keys(volume).find((key) => key !== "name") ?? "without a source";
      throw new Error(
        `the sandbox has no ${kind} volumes, only emptyDir, configMap, secret, projected and downwardAPI: use a real cluster`,
      );
    }
    const mode = projected.defaultMode;
    return new Map(
      (projected.sources ?? []).flatMap((source) => [
        ...(source.configMap ? this.#objectFiles("configmap", source.configMap, pod, mode) : []),
        ...(source.secret ? this.#objectFiles("secret", source.secret, pod, mode) : []),
        ...(source.downwardAPI ? downwardFiles(pod, source.downwardAPI.items, mode) : []),
        ...(source.serviceAccountToken ? this.#tokenFile(pod, volume.name, source.serviceAccountToken, mode) : []),
      ]),
    );
  }

  #objectFiles(kind: "configmap" | "secret", source: ObjectSource, pod: Pod, mode = DEFAULT_MODE): Files {
    const { name = "", items, optional } = source;
    const data = kind === "configmap" ? this.#objects.configMap(name) : this.#objects.secret(name);
    if (data === undefined) {
      if (optional) return new Map();
      throw new Error(`${kind} "${name}" not found`);
    }
    if (items === undefined) return new Map([...data].map(([key, content]) => [key, { content, mode }]));
    const files: Files = new Map();
    for (const item of items) {
      const content = data.get(item.key);
      if (content !== undefined) files.set(item.path, { content, mode: item.mode ?? mode });
      else if (!optional)
        throw new Error(`${kind} ${pod.metadata.namespace}/${name} references non-existent key: ${item.key}`);
    }
    return files;
  }

  #tokenFile(pod: Pod, volume: string, source: TokenSource, mode = DEFAULT_MODE): Files {
    const key = `${volume}/${source.path}`;
    let held = this.#tokens.get(key);
    if (held === undefined || Date.now() >= held.renewAt) {
      const { name, namespace, uid } = pod.metadata;
      const now = Date.now();
      const { token, expiresAt } = this.#api.mintToken({
        namespace,
        serviceAccount: pod.spec.serviceAccountName ?? "default",
        pod: { name, uid },
        ...(source.audience === undefined ? {} : { audiences: [source.audience] }),
        ...(source.expirationSeconds === undefined ? {} : { expirationSeconds: source.expirationSeconds }),
      });
      const life = (expiresAt.getTime() - now) * TOKEN_LIFE_SHARE;
      held = { token, renewAt: now + Math.min(life, TOKEN_LONGEST_MS) };
      this.#tokens.set(key, held);
    }
    // A token is for the pod's user or group only, where there is one (kubelet, projected volumes).
    const narrow = pod.spec.securityContext?.fsGroup !== undefined || fsUser(pod) !== undefined;
    return new Map([[source.path, { content: Buffer.from(held.token), mode: narrow ? 0o600 : mode }]]);
  }
}

/** The user that every container runs as, where that is one. */
function fsUser(pod: Pod): number | undefined {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const users = containers.map(
    ({ securityContext }) => securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser,
  );
  return users.every((user) => user === users[0]) ? users[0] : undefined;
}

function readableByGroup(files: Files): Files {
  return new Map([...files].map(([path, { content, mode }]) => [path, { content, mode: mode | 0o440 }]));
}

function downwardFiles(pod: Pod, items: readonly DownwardItem[] = [], mode = DEFAULT_MODE): Files {
  return new Map(
    items.map((item) => [item.path, { content: Buffer.from(downwardFile(pod, item)), mode: item.mode ?? mode }]),
  );
}
