/** Kubeconfig files that tests write: somebody else's rights, and broken ones. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { resolveContext } from "../../../runtime/kube/contexts.ts";
import { loadKubeconfig } from "../../../runtime/kube/kubeconfig.ts";

export interface Kubeconfigs {
  /** @returns its path */
  write(name: string, text: string): string;
  /** The cluster and user of the tests, who asks as somebody else. */
  as(user: string, groups: readonly string[]): Promise<string>;
  /** A cluster at another address, without credentials. */
  at(server: string): string;
  remove(): void;
}

export function temporaryKubeconfigs(): Kubeconfigs {
  const folder = mkdtempSync(join(tmpdir(), "weft-kubeconfig-"));
  let count = 0;
  const write = (name: string, text: string): string => {
    const path = join(folder, `${count++}-${name}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const config = (cluster: object, user: object): string =>
    stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster }],
      users: [{ name: "u", user }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    });
  return {
    write,
    async as(user, groups) {
      const { cluster, user: own } = resolveContext(await loadKubeconfig());
      return write(
        "as",
        config(
          {
            server: cluster.server,
            "certificate-authority": cluster.certificateAuthority,
            "certificate-authority-data": cluster.certificateAuthorityData,
            "insecure-skip-tls-verify": cluster.insecureSkipTlsVerify || undefined,
          },
          {
            token: own.token,
            "client-certificate": own.clientCertificate,
            "client-certificate-data": own.clientCertificateData,
            "client-key": own.clientKey,
            "client-key-data": own.clientKeyData,
            as: user,
            "as-groups": groups,
          },
        ),
      );
    },
    at: (server) => write("at", config({ server }, {})),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
