import { stringify } from "yaml";
import type { Pki } from "./api/pki.ts";

const NAME = "weft-sandbox";

/** The administrator's kubeconfig, everything it needs in it. */
export function kubeconfig(server: string, pki: Pki): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: NAME, cluster: { server, "certificate-authority-data": base64(pki.ca) } }],
    users: [
      {
        name: NAME,
        user: { "client-certificate-data": base64(pki.admin.certificate), "client-key-data": base64(pki.admin.key) },
      },
    ],
    contexts: [{ name: NAME, context: { cluster: NAME, user: NAME } }],
    "current-context": NAME,
  });
}
