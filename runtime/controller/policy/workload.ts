/** Who asks for a policy: the opaque token that the injector gave the proxy (reference 5.3). */

/** `<namespace>/<name>` of a pod; undefined for anything that is neither `{"ns":…,"pod":…}` nor the old `ns:pod`. */
export function parseWorkload(token: string): string | undefined {
  const text = token.trim();
  if (!text.startsWith("{")) {
    const match = /^([^:\s]+):([^:\s]+)$/.exec(text);
    return match === null ? undefined : `${match[1]}/${match[2]}`;
  }
  try {
    const { ns, pod } = JSON.parse(text) as { ns?: unknown; pod?: unknown };
    return typeof ns === "string" && ns !== "" && typeof pod === "string" && pod !== "" ? `${ns}/${pod}` : undefined;
  } catch {
    return undefined;
  }
}
