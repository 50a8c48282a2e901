/**
 * Files that change all at once, as the kubelet's atomic writer shows them: `name` → `..data/name`, `..data` → a folder
 * of one version. A reader that opens two files through `..data` sees one version of both.
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";

export interface VolumeFile {
  readonly content: Buffer;
  readonly mode: number;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const DATA = "..data";

/** @returns whether anything changed @throws Error for a path that leads out of the volume */
export async function writeAtomically(
  folder: string,
  files: ReadonlyMap<string, VolumeFile>,
  owner: Owner,
): Promise<boolean> {
  for (const path of files.keys()) {
    if (path === "" || path.startsWith("/") || path.split("/").some((part) => part.startsWith("..")))
      throw new Error(`"${path}" is no path inside a volume`);
  }
  const previous = await readlink(join(folder, DATA)).catch(() => undefined);
  if (previous !== undefined && (await holds(join(folder, previous), files))) return false;

  const version = `..${new Date().toISOString().replaceAll(/[-:.TZ]/g, "_")}${process.hrtime.bigint()}`;
  for (const [path, { content, mode }] of files) {
    const place = join(folder, version, path);
    await mkdir(dirname(place), { recursive: true, mode: 0o755 });
    await writeFile(place, content);
    await chown(place, owner.uid, owner.gid);
    await chmod(place, mode);
  }
  if (files.size === 0) await mkdir(join(folder, version));
  await symlink(version, join(folder, `${DATA}.new`));
  await rename(join(folder, `${DATA}.new`), join(folder, DATA));

  const names = new Set([...files.keys()].map((path) => path.split("/")[0] ?? ""));
  for (const name of names) {
    const exists = await lstat(join(folder, name)).catch(() => undefined);
    if (exists === undefined) await symlink(join(DATA, name), join(folder, name));
  }
  for (const name of await readdir(folder)) {
    if (!name.startsWith("..") && !names.has(name)) await rm(join(folder, name));
  }
  if (previous !== undefined) await rm(join(folder, previous), { recursive: true, force: true });
  return true;
}

async function holds(folder: string, files: ReadonlyMap<string, VolumeFile>): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  if (entries.filter((entry) => entry.isFile()).length !== files.size) return false;
  for (const [path, { content }] of files) {
    const present = await readFile(join(folder, path)).catch(() => undefined);
    if (present === undefined || !present.equals(content)) return false;
  }
  return true;
}
