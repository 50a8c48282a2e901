/** A small HTTPS server in a pod, behind a Service: what webhooks and aggregated APIs are tried with. */

import { resource } from "../../../runtime/kube/resources.ts";
import { certificatePem, createCertificateAuthority, issueLeaf } from "../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../runtime/x509/keys.ts";
import { type Answer, type Cluster, eventually } from "./cluster.ts";

const IMAGE = process.env["WEFT_TEST_NODE_IMAGE"] ?? "docker.io/library/node:24-slim";

export interface TlsServer {
  /** PEM of who signed its certificate, in base64. */
  readonly caBundle: string;
}

/** Runs `script` (CommonJS; `tls` holds key and certificate) as pod and Service `name`; resolves when an endpoint is ready. */
export async function startTlsServer(cluster: Cluster, name: string, script: string): Promise<TlsServer> {
  const { client, namespace } = cluster;
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const authority = createCertificateAuthority({ commonName: "contract", ...validity });
  const keys = generateKeyPair();
  const leaf = issueLeaf(authority, { ...validity, publicKey: keys.publicKey, dnsNames: [`${name}.${namespace}.svc`] });
  await client.create(resource.configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace },
    data: {
      "server.js": `const fs=require("fs");const tls={key:fs.readFileSync("/server/key.pem"),cert:fs.readFileSync("/server/cert.pem")};process.on("SIGTERM",()=>process.exit(0));\n${script}`,
      "key.pem": privateKeyPem(keys.privateKey),
      "cert.pem": certificatePem(leaf),
    },
  });
  await client.create(resource.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { server: name } },
    spec: {
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          name: "main",
          image: IMAGE,
          imagePullPolicy: "IfNotPresent",
          command: ["node", "/server/server.js"],
          ports: [{ containerPort: 8443 }],
          readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
          volumeMounts: [{ name: "server", mountPath: "/server" }],
        },
      ],
      volumes: [{ name: "server", configMap: { name } }],
    },
  });
  await client.create(resource.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { selector: { server: name }, ports: [{ port: 443, targetPort: 8443 }] },
  });
  await eventually(
    "the server's endpoint",
    async () => {
      const list = await client.list(resource.endpointSlices, {
        namespace,
        labelSelector: `kubernetes.io/service-name=${name}`,
      });
      return list.items.some((slice) =>
        ((slice as Answer["body"]).endpoints ?? []).some((entry: Answer["body"]) => entry.conditions.ready),
      );
    },
    60_000,
  );
  return { caBundle: Buffer.from(certificatePem(authority.certificate)).toString("base64") };
}
