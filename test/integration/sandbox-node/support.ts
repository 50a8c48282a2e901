import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { resource } from "../../../runtime/kube/resources.ts";
import { createSandboxNode } from "../../../runtime/sandbox/node/node.ts";
import type {
  Container,
  ContainerStatus,
  EndpointSlice,
  Pod,
  PodSpec,
  Service,
} from "../../../runtime/sandbox/node/pod-types.ts";
import type { NodeNetwork, SandboxNode } from "../../../runtime/sandbox/seam.ts";
import { StoreApi } from "./store-api.ts";

export const NAMESPACE = "team";
export const isRoot = process.getuid?.() === 0;

/** A node of its own over a store of its own. */
export class TestNode {
  readonly home: string;
  readonly api = new StoreApi();
  readonly node: SandboxNode;

  private constructor(home: string, node: SandboxNode) {
    this.home = home;
    this.node = node;
  }

  static async start(): Promise<TestNode> {
    const home = mkdtempSync(join(tmpdir(), "weft-sandbox-node-"));
    const test = new TestNode(home, await createSandboxNode({ home, log: (line) => console.error(line) }));
    test.api.create(resource.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
    await test.node.start(test.api);
    return test;
  }

  async stop(): Promise<void> {
    await this.node.stop();
    rmSync(this.home, { recursive: true, force: true });
  }

  get network(): NodeNetwork {
    return this.node.network;
  }

  create(name: string, spec: PodSpec, metadata: Partial<Pod["metadata"]> = {}): void {
    this.api.create<Pod>(resource.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...metadata, name, namespace: NAMESPACE } as Pod["metadata"],
      spec: { nodeName: "node1", ...spec },
    });
  }

  pod(name: string): Pod {
    const pod = this.api.get<Pod>(resource.pods, name, NAMESPACE);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    return pod;
  }

  container(pod: string, name: string): ContainerStatus {
    const { status } = this.pod(pod);
    const found = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].find(
      (container) => container.name === name,
    );
    if (found === undefined) throw new Error(`no status of container ${name}`);
    return found;
  }

  condition(pod: string, type: string): string | undefined {
    return this.pod(pod).status?.conditions?.find((condition) => condition.type === type)?.status;
  }

  async ready(name: string): Promise<Pod> {
    await until(
      `pod ${name} is ready`,
      () => this.condition(name, "Ready") === "True",
      () => JSON.stringify([this.pod(name).status, this.api.events], undefined, 1),
    );
    return this.pod(name);
  }

  async phase(name: string, phase: string): Promise<Pod> {
    await until(
      `pod ${name} is ${phase}`,
      () => this.pod(name).status?.phase === phase,
      () => JSON.stringify([this.pod(name).status, this.api.events], undefined, 1),
    );
    return this.pod(name);
  }

  async gone(name: string): Promise<void> {
    await until(`pod ${name} is gone`, () => this.api.get(resource.pods, name, NAMESPACE) === undefined);
  }

  async logs(
    pod: string,
    container: string,
    options: { previous?: boolean; tailLines?: number } = {},
  ): Promise<string> {
    let text = "";
    const { previous = false, tailLines } = options;
    for await (const chunk of this.node.logs(this.pod(pod), {
      container,
      previous,
      follow: false,
      timestamps: false,
      signal: new AbortController().signal,
      ...(tailLines === undefined ? {} : { tailLines }),
    })) {
      text += Buffer.from(chunk).toString();
    }
    return text;
  }

  /** Runs a pod of one command to its end. @returns what it printed */
  async once(
    name: string,
    command: readonly string[],
    spec: Partial<PodSpec> = {},
    volumeMounts: Container["volumeMounts"] = [],
  ): Promise<string> {
    this.create(name, { restartPolicy: "Never", ...spec, containers: [{ name: "main", command, volumeMounts }] });
    await until(`pod ${name} ends`, () => ["Succeeded", "Failed"].includes(this.pod(name).status?.phase ?? ""));
    return this.logs(name, "main");
  }

  /** An address of the Services' range, by its last number. */
  clusterIp(number: number): string {
    return this.network.serviceCidr.replace(/\.\d+\/\d+$/, `.${number}`);
  }

  service(name: string, clusterIP: string, port: number, portName = "http"): void {
    this.api.create<Service>(resource.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: NAMESPACE },
      spec: { clusterIP, ports: [{ name: portName, port, protocol: "TCP" }] },
    });
  }

  /** Makes or replaces the slice of a Service. @param addresses address → whether it is ready */
  endpoints(service: string, port: number, addresses: Readonly<Record<string, boolean>>, portName = "http"): void {
    const endpoints = Object.entries(addresses).map(([address, ready]) => ({
      addresses: [address],
      conditions: { ready, serving: ready, terminating: false },
    }));
    const slice: EndpointSlice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${service}-1`, namespace: NAMESPACE, labels: { "kubernetes.io/service-name": service } },
      addressType: "IPv4",
      endpoints,
      ports: [{ name: portName, port, protocol: "TCP" }],
    };
    if (this.api.get(resource.endpointSlices, `${service}-1`, NAMESPACE) === undefined) {
      this.api.create(resource.endpointSlices, slice);
    } else {
      this.api.update<EndpointSlice>(resource.endpointSlices, `${service}-1`, NAMESPACE, (copy) => {
        copy.endpoints = endpoints;
      });
    }
  }
}

/** An HTTP server that answers with `text` and ends on SIGTERM. */
export function server(port: number, text: string, name = "app"): Container {
  const program = `require("http").createServer((q,r)=>r.end(${JSON.stringify(text)})).listen(${port},"0.0.0.0"); process.on("SIGTERM",()=>{console.log("told to end");process.exit(0)})`;
  return {
    name,
    command: ["node", "-e", program],
    ports: [{ name: "http", containerPort: port }],
    readinessProbe: { httpGet: { path: "/", port }, periodSeconds: 1 },
  };
}

export async function get(url: string): Promise<string> {
  return (await fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: "close" } })).text();
}

/** A check that throws has not succeeded yet. @throws Error with `describe`'s text after 20 s */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  describe?: () => string,
): Promise<void> {
  const limit = Date.now() + 20_000;
  for (;;) {
    let failure: unknown;
    try {
      if (await check()) return;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > limit) throw new Error(`not within 20 s: ${what}\n${describe?.() ?? ""}`, { cause: failure });
    await sleep(25);
  }
}
