/** What the cluster held before the tests installed anything; the first test file writes it, the last one reads it. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";

/** One file a cluster: kube-system lives as long as it does. */
async function fileOf(client: KubeClient): Promise<string> {
  const { metadata } = await client.get(resource.namespaces, "kube-system");
  return join(tmpdir(), `weft-test-baseline-${metadata.uid}.json`);
}

export async function writeBaseline(client: KubeClient, objects: readonly string[]): Promise<void> {
  writeFileSync(await fileOf(client), JSON.stringify(objects));
}

/** Undefined where none was written: the mesh was there before the tests. */
export async function takeBaseline(client: KubeClient): Promise<string[] | undefined> {
  const file = await fileOf(client);
  if (!existsSync(file)) return undefined;
  const objects = JSON.parse(readFileSync(file, "utf8")) as string[];
  rmSync(file);
  return objects;
}
