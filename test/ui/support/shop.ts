/** A workload of the tester's own, without a proxy at first: it serves and calls itself, with a secret in its requests. */
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../../runtime/kube/types.ts";

export const SHOP = "weft-test-shop";
/** Forbids what the redirect needs. */
export const RESTRICTED = "weft-test-restricted";
export const SECRET = "do-not-show-me";

const PROGRAM = `
const http = require("node:http");
http.createServer((request, response) => response.end("ok")).listen(8080);
setInterval(() => {
  const headers = { authorization: "Bearer ${SECRET}", "x-shop": "visible" };
  http.get({ host: "web", port: 8080, path: "/cart?item=1", headers, agent: false }, (answer) => answer.resume()).on("error", () => undefined);
}, 250);
process.on("SIGTERM", () => process.exit(0));
`;

export async function openShop(client: KubeClient, image: string): Promise<void> {
  const options = { fieldManager: "weft-tests", force: true } as const;
  for (const object of shopObjects(image)) {
    const kind =
      object.kind === "Namespace"
        ? resource.namespaces
        : object.kind === "Service"
          ? resource.services
          : resource.deployments;
    await client.apply(kind, object, options);
  }
}

export async function closeShop(client: KubeClient): Promise<void> {
  for (const name of [SHOP, RESTRICTED]) await client.delete(resource.namespaces, name);
}

function shopObjects(image: string): KubeObject[] {
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: SHOP } },
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: RESTRICTED, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: SHOP },
      spec: { selector: { app: "web" }, ports: [{ name: "http", port: 8080, targetPort: 8080, protocol: "TCP" }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: SHOP },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: {
            terminationGracePeriodSeconds: 5,
            containers: [
              {
                name: "web",
                image,
                imagePullPolicy: "IfNotPresent",
                command: ["node", "-e", PROGRAM],
                ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }],
                readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
  ];
}
