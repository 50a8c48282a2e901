/**
 * Images. The sandbox has none: programs are the machine's own, and every image counts as there. Only what no registry
 * can ever serve is refused as a kubelet would: names under `.invalid` (RFC 2606), and `localhost`, whose images would
 * have to be on the node.
 */

/** @returns what a kubelet tells of an image that cannot be pulled; undefined where it counts as there */
export function pullFailure(image: string): string | undefined {
  const [registry = "", ...path] = image.split("/");
  if (path.length === 0 || !(registry === "localhost" || registry.endsWith(".invalid"))) return undefined;
  return `failed to pull and unpack image "${image}": failed to resolve reference "${image}": nothing serves registry ${registry}`;
}
