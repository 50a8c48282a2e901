/**
 * The controller with 10,000 pods: memory, start, and how long an endpoint change takes to reach the proxies.
 *
 *   node test/bench/controller-scale.ts [pods] [proxies] [streams per proxy]
 *
 * One process is the API and the proxies, another the controller alone.
 */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ChannelCredentials } from "@grpc/grpc-js";
import type { Update } from "../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import { DestinationClient } from "../../runtime/api/service-clients.ts";
import { createLog } from "../../runtime/controller/config/log.ts";
import { startController } from "../../runtime/controller/controller.ts";
import { createIssuer, createTrustAnchor, readAuthority } from "../../runtime/controller/pki/authorities.ts";
import { tlsSecret } from "../../runtime/controller/pki/tls-secret.ts";
import { createKubeClient } from "../../runtime/kube/client.ts";
import { httpsTransport } from "../../runtime/kube/https-transport.ts";
import { resource } from "../../runtime/kube/resources.ts";
import { controlSecret } from "../../runtime/model/control-plane-rbac.ts";
import type { MeshConfig } from "../../runtime/model/mesh-config.ts";
import { certificatePem, issueLeaf } from "../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../runtime/x509/keys.ts";
import { startManyPodsApi } from "./support/many-pods-api.ts";

const NAMESPACE = "weft";
const CONTROLLER = `weft-controller.${NAMESPACE}.serviceaccount.identity.${NAMESPACE}.cluster.local`;

const mesh: MeshConfig = {
  version: "bench",
  controlPlaneNamespace: NAMESPACE,
  trustDomain: "cluster.local",
  clusterDomain: "cluster.local",
  clusterNetworks: ["10.0.0.0/8"],
  images: { node: "node", init: "init", pullPolicy: "IfNotPresent" },
  proxy: { hash: "0", digests: {}, loader: "", logLevel: "warn", resources: {} },
  defaultInboundPolicy: "all-unauthenticated",
  opaquePorts: [25],
};

const CREDENTIALS = { headers: {}, tls: {} };
const client = (server: string) =>
  createKubeClient(httpsTransport({ server, credentials: () => Promise.resolve(CREDENTIALS) }));

if (process.send !== undefined) await beController(process.argv[2] ?? "");
else await measure(...(process.argv.slice(2).map(Number) as [number?, number?, number?]));

async function beController(server: string): Promise<void> {
  const controller = await startController(
    {
      client: client(server),
      config: { mesh, namespace: NAMESPACE, podName: "bench" },
      log: createLog("controller", "warn"),
      ports: { identity: 0, destination: 0, policy: 0, api: 0, admin: 0 },
      host: "127.0.0.1",
    },
    new AbortController().signal,
  );
  process.send?.(controller.ports);
}

async function measure(pods = 10_000, proxies = 500, streams = 5): Promise<void> {
  const api = await startManyPodsApi(pods);
  const scope = { controlPlaneNamespace: NAMESPACE, trustDomain: "cluster.local" };
  const anchor = createTrustAnchor(scope, new Date());
  const issuer = createIssuer(scope, anchor, new Date());
  await client(api.url).create(resource.secrets, tlsSecret(NAMESPACE, controlSecret.issuer, "bench", issuer));

  const began = performance.now();
  const flags = ["--max-old-space-size=448"];
  const child = fork(import.meta.filename, [api.url], {
    execArgv: flags,
    env: { ...process.env, MALLOC_ARENA_MAX: "2" },
  });
  const ports = await new Promise<{ destination: number }>((resolve, reject) => {
    child.once("message", (message) => resolve(message as { destination: number }));
    child.once("exit", (code) => reject(new Error(`the controller ended with ${code}`)));
  });
  const ready = performance.now() - began;
  report(`${pods} pods known`, child, `ready after ${ready.toFixed(0)} ms`);

  const keys = generateKeyPair();
  const leaf = issueLeaf(readAuthority("issuer", issuer), {
    publicKey: keys.publicKey,
    dnsNames: ["bench.test"],
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
  });
  const context = createSecureContext({
    ca: anchor.certificate,
    cert: certificatePem(leaf) + issuer.certificate,
    key: privateKeyPem(keys.privateKey),
  });
  /** Called for each update after the first of a stream. */
  let onUpdate: (service: string, update: Update) => void = () => {};
  let first = 0;
  const clients = Array.from({ length: proxies }, (_, at) => {
    const channel = new DestinationClient(
      `127.0.0.1:${ports.destination}`,
      ChannelCredentials.createFromSecureContext(context),
      {
        "grpc.ssl_target_name_override": CONTROLLER,
        "grpc.use_local_subchannel_pool": 1,
      },
    );
    for (let index = 0; index < streams; index++) {
      // Every proxy follows the first service, and others of its own.
      const service = api.services[index === 0 ? 0 : (at * streams + index) % api.services.length] ?? "";
      const [namespace, name] = service.split("/");
      const stream = channel.get({
        scheme: "k8s",
        path: `${name}.${namespace}.svc.cluster.local:80`,
        contextToken: JSON.stringify({ ns: namespace, nodeName: `node-${at % 100}` }),
      });
      let heard = false;
      stream.on("error", () => {});
      stream.on("data", (update: Update) => {
        if (heard) onUpdate(service, update);
        else first++;
        heard = true;
      });
    }
    return channel;
  });
  while (first < proxies * streams) await wait(20);
  report(`${proxies} proxies, ${proxies * streams} streams`, child);

  const latencies: number[] = [];
  for (let round = 0; round < 20; round++) {
    let left = proxies;
    const changed = performance.now();
    await new Promise<void>((resolve) => {
      onUpdate = (service) => {
        if (service !== api.services[0]) return;
        latencies.push(performance.now() - changed);
        if (--left === 0) resolve();
      };
      api.resize(api.services[0] ?? "", round % 2 === 0 ? 19 : 20);
    });
  }
  latencies.sort((a, b) => a - b);
  const at = (share: number): string => (latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(1);
  report(
    "after 20 changes to all of them",
    child,
    `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, last ${latencies.at(-1)?.toFixed(1)} ms`,
  );
  for (const channel of clients) channel.close();
  child.kill();
  api.close();
}

function report(what: string, child: ChildProcess, more = ""): void {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  const mib = (name: string): string => (Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024).toFixed(0);
  console.log(
    `${what}: RSS ${mib("VmRSS")} MiB, anonymous ${mib("RssAnon")} MiB, peak ${mib("VmHWM")} MiB${more === "" ? "" : `; ${more}`}`,
  );
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
