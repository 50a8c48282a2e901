/**
 * What a container sees as `/`: programs of this machine, read-only, `node` of this project as in Node's image, an /etc
 * of its own, and its volumes. Nothing else of the host: no home folders, no other mounts.
 */
import { existsSync } from "node:fs";
import { chmod, mkdir, readlink, realpath, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface Mount {
  /** A file or a folder of the host. */
  readonly source: string;
  /** Absolute, as the container sees it. */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface RootSpec {
  /** Folder of the host, to be filled; what the container writes to its root is kept there. */
  readonly folder: string;
  readonly readOnly: boolean;
  /** Files of /etc by name, e.g. resolv.conf. */
  readonly etc: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
}

/** Where the host's root is for the moment between mounting and leaving it. */
export const OLD_ROOT = ".old";

/** Libraries and programs at the root of distributions: folders, or links into /usr. */
const TOP_LEVEL: readonly string[] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const USR: readonly string[] = ["bin", "lib", "lib32", "lib64", "libexec", "libx32", "sbin", "share"];
/** Of the host's /etc: what dynamic linking, iptables and TLS need. */
const SHARED_ETC: readonly string[] = [
  "alternatives",
  "ca-certificates",
  "ethertypes",
  "iproute2",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "pki",
  "protocols",
  "services",
  "ssl",
];
const DEVICES: readonly string[] = ["full", "null", "random", "tty", "urandom", "zero"];
const FOLDERS: readonly string[] = [
  ...["dev/shm", "etc", "home/node", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var/tmp"],
  OLD_ROOT,
];
const LINKS: Readonly<Record<string, string>> = {
  "var/run": "../run",
  "dev/fd": "/proc/self/fd",
  "dev/stdin": "/proc/self/fd/0",
  "dev/stdout": "/proc/self/fd/1",
  "dev/stderr": "/proc/self/fd/2",
};
const ACCOUNTS: Readonly<Record<string, string>> = {
  passwd: [
    "root:x:0:0:root:/root:/bin/sh",
    "node:x:1000:1000::/home/node:/bin/sh",
    "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin",
    "",
  ].join("\n"),
  group: "root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
};

/**
 * Fills the folder; mounts nothing.
 * @returns lines for `mount --all --fstab`, in their order, for a mount namespace of the container's own
 * @throws Error naming a mountPath that lies where the container's root cannot be written
 */
export async function buildRoot(spec: RootSpec): Promise<string> {
  const { folder } = spec;
  const lines: string[] = [bindLine(folder, folder, spec.readOnly)];
  const bind = async ({ source, target, readOnly }: Mount): Promise<void> => {
    const place = join(folder, target);
    await makePlace(source, place, folder);
    lines.push(bindLine(source, place, readOnly));
  };
  /** A link stays a link; what the host lacks is left out. */
  const mirror = async (path: string): Promise<void> => {
    if (!existsSync(path)) return;
    const link = await readlink(path).catch(() => undefined);
    if (link === undefined) await bind({ source: path, target: path, readOnly: true });
    else await symlink(link, join(folder, path)).catch(ignoreExisting);
  };

  for (const name of FOLDERS) await mkdir(join(folder, name), { recursive: true });
  for (const name of ["tmp", "var/tmp"]) await chmod(join(folder, name), 0o1777);
  for (const [name, link] of Object.entries(LINKS)) await symlink(link, join(folder, name)).catch(ignoreExisting);
  for (const name of TOP_LEVEL) await mirror(`/${name}`);
  for (const name of USR) await mirror(`/usr/${name}`);
  await bind({ source: process.execPath, target: "/usr/local/bin/node", readOnly: true });
  for (const name of SHARED_ETC) await mirror(`/etc/${name}`);
  for (const [name, text] of Object.entries({ ...ACCOUNTS, ...spec.etc })) {
    await writeFile(join(folder, "etc", name), text);
  }
  for (const name of DEVICES) await bind({ source: `/dev/${name}`, target: `/dev/${name}`, readOnly: false });
  lines.push(
    `tmpfs ${escaped(join(folder, "dev/shm"))} tmpfs mode=1777,nosuid,nodev 0 0`,
    `proc ${escaped(join(folder, "proc"))} proc nosuid,nodev,noexec 0 0`,
    // Settings of the kernel are the machine's.
    bindLine(join(folder, "proc/sys"), join(folder, "proc/sys"), true),
    `sysfs ${escaped(join(folder, "sys"))} sysfs ro,nosuid,nodev,noexec 0 0`,
  );
  for (const mount of await outerFirst(spec.mounts, folder)) {
    const outer = mount.within;
    // What is mounted inside a volume needs its place in there.
    if (outer !== undefined && !outer.readOnly) {
      await makePlace(mount.source, join(outer.source, mount.target.slice(outer.target.length)), outer.source);
    } else if (outer === undefined) {
      await makePlace(mount.source, join(folder, mount.target), folder);
    }
    lines.push(bindLine(mount.source, join(folder, mount.target), mount.readOnly));
  }
  return `${lines.join("\n")}\n`;
}

interface PlacedMount extends Mount {
  /** The innermost other mount that this one is mounted inside. */
  readonly within: Mount | undefined;
}

/** With targets as they are once links are followed (/var/run is /run), in an order in which they can be mounted. */
async function outerFirst(mounts: readonly Mount[], folder: string): Promise<PlacedMount[]> {
  const resolved: Mount[] = [];
  for (const mount of mounts) resolved.push({ ...mount, target: await followLinks(mount.target, folder) });
  resolved.sort((a, b) => a.target.length - b.target.length);
  return resolved.map((mount, index) => ({
    ...mount,
    within: resolved.slice(0, index).findLast((outer) => mount.target.startsWith(`${outer.target}/`)),
  }));
}

async function followLinks(target: string, folder: string): Promise<string> {
  const place = join(folder, target);
  const ancestor = existingAncestor(place);
  const real = await realpath(ancestor);
  const root = await realpath(folder);
  if (real !== root && !real.startsWith(`${root}/`)) {
    throw new Error(`cannot mount at ${target}: it leads out of the container's root`);
  }
  return `${real.slice(root.length)}${place.slice(ancestor.length)}`;
}

function existingAncestor(place: string): string {
  return existsSync(place) ? place : existingAncestor(dirname(place));
}

/** Makes the empty file or folder that something is mounted on, never outside of `folder`. */
async function makePlace(source: string, place: string, folder: string): Promise<void> {
  const real = await realpath(existingAncestor(place));
  const root = await realpath(folder);
  if (real !== root && !real.startsWith(`${root}/`)) {
    throw new Error(`cannot mount at ${place.slice(folder.length)}: it leads out of its folder`);
  }
  if ((await stat(source)).isDirectory()) {
    await mkdir(place, { recursive: true });
  } else {
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, "", { flag: "a" });
  }
}

function bindLine(source: string, target: string, readOnly: boolean): string {
  return `${escaped(source)} ${escaped(target)} none bind${readOnly ? ",ro" : ""} 0 0`;
}

/** fstab(5): blanks in octal. */
function escaped(path: string): string {
  return path.replaceAll("\\", "\\134").replaceAll(" ", "\\040").replaceAll("\t", "\\011").replaceAll("\n", "\\012");
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
