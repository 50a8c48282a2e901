/** The programs that an install carries into the cluster, as `npm run build` leaves them in dist/runtime. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BUNDLE_MAIN, type Bundle, bundleAddon } from "../model/bundle.ts";
import { MeshError } from "./errors.ts";

const ADDON = new RegExp(`^${bundleAddon("[a-z0-9]+").replaceAll(".", "\\.")}$`);
/** A ConfigMap holds 1 MiB, in base64, beside its metadata. */
const CONFIG_MAP_BYTES = 760 * 1024;

export interface Bundles {
  readonly proxy: Bundle;
  readonly controller: Bundle;
  /** The text that pods give to `node -e`. */
  readonly loader: string;
}

/** @throws MeshError where a file is missing or too big for a ConfigMap */
export async function loadBundles(folder: string): Promise<Bundles> {
  try {
    const [proxy, controller, loader] = await Promise.all([
      readBundle(join(folder, "proxy")),
      readBundle(join(folder, "controller")),
      readFile(join(folder, "loader.cjs"), "utf8"),
    ]);
    return { proxy, controller, loader };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const { path } = error as NodeJS.ErrnoException;
    throw new MeshError(
      `the mesh's programs are not complete: ${path} is missing`,
      "In a checkout run npm run build; an installed Weft is damaged: install it again.",
      { cause: error },
    );
  }
}

async function readBundle(folder: string): Promise<Bundle> {
  const names = (await readdir(folder)).filter((name) => ADDON.test(name));
  const files = new Map<string, Uint8Array>();
  for (const name of [BUNDLE_MAIN, ...names].sort()) files.set(name, await readFile(join(folder, name)));
  const size = [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  if (size > CONFIG_MAP_BYTES) {
    throw new MeshError(`${folder} holds ${size} bytes: more than the ${CONFIG_MAP_BYTES} that fit a ConfigMap`);
  }
  return bundleOf(files);
}

/** @param files by name */
export function bundleOf(files: ReadonlyMap<string, Uint8Array>): Bundle {
  const sorted = new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
  const digests = Object.fromEntries([...sorted].map(([name, bytes]) => [name, sha256(bytes)]));
  const hash = sha256(Object.entries(digests).flat().join("\n")).slice(0, 10);
  return { hash, files: sorted, digests };
}

function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}
