import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { resource } from "../../../runtime/kube/resources.ts";
import { REDIRECT_RULES_ANNOTATION, redirectRules } from "../../../runtime/model/redirect-rules.ts";
import type { Service } from "../../../runtime/sandbox/node/pod-types.ts";
import { get, isRoot, NAMESPACE, server, TestNode, until } from "./support.ts";

describe("the network of the sandbox's node", { skip: isRoot ? false : "needs root" }, () => {
  let node: TestNode;
  const scratch = mkdtempSync(join(tmpdir(), "weft-sandbox-network-"));
  before(async () => {
    node = await TestNode.start();
    node.create("one", { containers: [server(8080, "one")] });
    node.create("two", { nodeName: "node2", containers: [server(8080, "two")] });
    await Promise.all([node.ready("one"), node.ready("two")]);
    node.service("web", node.clusterIp(20), 80);
  });
  after(async () => {
    await node?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  const address = (pod: string): string => node.pod(pod).status?.podIP ?? "";
  const fromPod = async (name: string, program: string): Promise<string> =>
    (await node.once(name, ["node", "-e", program])).trim();

  test("a ClusterIP spreads connections over ready endpoints and follows their changes", async () => {
    const url = `http://${node.clusterIp(20)}/`;
    node.endpoints("web", 8080, { [address("one")]: true, [address("two")]: true });
    await until("the ClusterIP answers", async () => (await get(url)) !== "");
    const answers = new Set<string>();
    for (let index = 0; index < 40 && answers.size < 2; index++) answers.add(await get(url));
    assert.deepEqual([...answers].sort(), ["one", "two"]);

    node.endpoints("web", 8080, { [address("one")]: true, [address("two")]: false });
    const changed = performance.now();
    // Until ten in a row come from the one that is left.
    for (let row = 0; row < 10; ) row = (await get(url)) === "one" ? row + 1 : 0;
    const took = performance.now() - changed;
    assert.ok(took < 1_000, `traffic followed after ${took} ms`);
    assert.equal(await fromPod("asks-service", `fetch("${url}").then(r=>r.text()).then(console.log)`), "one");
  });

  test("a Service without endpoints refuses at once", async () => {
    node.service("empty", node.clusterIp(21), 80);
    await until("refused", async () => {
      const began = performance.now();
      const error = await new Promise<NodeJS.ErrnoException>((done) => {
        connect({ host: node.clusterIp(21), port: 80, timeout: 3_000 }).once("error", done);
      });
      return error.code === "ECONNREFUSED" && performance.now() - began < 1_000;
    });
  });

  test("a pod reaches itself through its Service", async () => {
    const url = `http://${node.clusterIp(22)}/`;
    const program = `
      require("http").createServer((q,r)=>r.end("itself")).listen(8080,"0.0.0.0");
      const ask=()=>fetch("${url}",{signal:AbortSignal.timeout(1000)}).then(r=>r.text()).then(t=>{console.log(t);process.exit(0)},()=>setTimeout(ask,100));
      ask();`;
    node.service("self", node.clusterIp(22), 80);
    node.create("self", { restartPolicy: "Never", containers: [{ name: "main", command: ["node", "-e", program] }] });
    await until("has an address", () => address("self") !== "");
    node.endpoints("self", 8080, { [address("self")]: true });
    await node.phase("self", "Succeeded");
    assert.equal(await node.logs("self", "main"), "itself\n");
  });

  test("the API's address on the host is reached from a pod, by Service kubernetes too", async () => {
    const { createServer } = await import("node:http");
    const api = createServer((_, response) => response.end("api"));
    await new Promise<void>((done) => api.listen(0, node.network.apiAddress, done));
    const bound = api.address();
    assert.ok(typeof bound === "object" && bound !== null);
    node.service("kubernetes", node.clusterIp(1), 443, "https");
    node.endpoints("kubernetes", bound.port, { [node.network.apiAddress]: true }, "https");
    await until("the host reaches it", async () => (await get(`http://${node.clusterIp(1)}:443/`)) === "api");
    const program = `fetch("http://"+process.env.KUBERNETES_SERVICE_HOST+":"+process.env.KUBERNETES_SERVICE_PORT).then(r=>r.text()).then(console.log)`;
    assert.equal(await fromPod("asks-api", program), "api");
    api.closeAllConnections();
    api.close();
  });

  test("names: Services by every search path, headless ones by their endpoints, ports by SRV, NXDOMAIN at once", async () => {
    node.api.create<Service>(resource.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "all", namespace: NAMESPACE },
      spec: { clusterIP: "None", ports: [{ name: "http", port: 8080, protocol: "TCP" }] },
    });
    node.endpoints("all", 8080, { [address("one")]: true, [address("two")]: true });
    const program = `
      const dns=require("dns").promises;
      (async()=>{
        const out={};
        for (const n of ["web","web.${NAMESPACE}","web.${NAMESPACE}.svc.cluster.local","all"])
          out[n]=(await dns.lookup(n,{all:true})).map(a=>a.address).sort();
        out.srv=(await dns.resolveSrv("_http._tcp.all.${NAMESPACE}.svc.cluster.local")).map(r=>r.name+":"+r.port).sort();
        const first=out.srv[0].split(":")[0];
        out.first=await dns.resolve4(first);
        out.none=await dns.resolve6("web.${NAMESPACE}.svc.cluster.local").catch(e=>e.code);
        const began=Date.now();
        out.absent=await dns.lookup("nosuchname.example").catch(e=>e.code);
        out.quick=Date.now()-began<1000;
        console.log(JSON.stringify(out));
      })()`;
    const said = JSON.parse(await fromPod("asks-dns", program)) as Record<string, unknown>;
    const [one, two] = [address("one"), address("two")].sort();
    const dashed = [one, two].map((ip) => `${ip?.replaceAll(".", "-")}.all.${NAMESPACE}.svc.cluster.local`);
    assert.deepEqual(said, {
      web: [node.clusterIp(20)],
      [`web.${NAMESPACE}`]: [node.clusterIp(20)],
      [`web.${NAMESPACE}.svc.cluster.local`]: [node.clusterIp(20)],
      all: [one, two],
      srv: dashed.map((name) => `${name}:8080`).sort(),
      first: [said["srv"] && (said["srv"] as string[])[0]?.startsWith(dashed[0] ?? "-") ? one : two],
      none: "ENODATA",
      absent: "ENOTFOUND",
      quick: true,
    });
  });

  test("an init container redirects the pod's traffic: the proxy sees where it was going, probes pass through it", async () => {
    const addon = compileAddon();
    node.api.create(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "addon", namespace: NAMESPACE },
      binaryData: { "original-dst.node": readFileSync(addon).toString("base64") },
    } as never);
    const rules = redirectRules({
      inboundPort: 4143,
      outboundPort: 4140,
      proxyUid: 2102,
      skipInboundPorts: [{ first: 4191, last: 4191 }],
      skipOutboundPorts: [],
      skipSubnets: [],
    });
    // Passes every connection on to where it was going, and tells.
    const proxy = `
      const {originalDestination}=require("/addon/original-dst.node");
      const net=require("net");
      for (const port of [4140,4143]) net.createServer((client)=>{
        const out=Buffer.alloc(18); originalDestination(client._handle.fd,out);
        const host=[...out.subarray(0,4)].join("."); const to=out.readUInt16BE(4);
        console.log(port,host+":"+to);
        const up=net.connect(to,port===4143?"127.0.0.1":host); client.pipe(up).pipe(client);
        for (const s of [client,up]) s.on("error",()=>{client.destroy();up.destroy()});
      }).listen(port,"0.0.0.0");
      require("http").createServer((q,r)=>r.end("admin")).listen(4191,"0.0.0.0");
      process.on("SIGTERM",()=>process.exit(0));`;
    node.create(
      "meshed",
      {
        initContainers: [
          {
            name: "linkerd-init",
            command: ["iptables-restore", "--noflush", "/rules/rules"],
            securityContext: {
              runAsUser: 0,
              capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
              readOnlyRootFilesystem: true,
            },
            volumeMounts: [
              { name: "rules", mountPath: "/rules" },
              { name: "lock", mountPath: "/run" },
            ],
          },
          {
            name: "linkerd-proxy",
            restartPolicy: "Always",
            command: ["node", "-e", proxy],
            securityContext: { runAsUser: 2102, capabilities: { drop: ["ALL"] }, allowPrivilegeEscalation: false },
            startupProbe: { httpGet: { port: 4191 }, periodSeconds: 1 },
            volumeMounts: [{ name: "addon", mountPath: "/addon" }],
          },
        ],
        containers: [
          {
            ...server(8080, "application"),
            securityContext: { runAsUser: 1000 },
            lifecycle: {
              preStop: { exec: { command: ["node", "-e", `fetch("http://${node.clusterIp(20)}/")`] } },
            },
          },
        ],
        volumes: [
          { name: "lock", emptyDir: {} },
          { name: "addon", configMap: { name: "addon" } },
          {
            name: "rules",
            downwardAPI: {
              items: [
                { path: "rules", fieldRef: { fieldPath: `metadata.annotations['${REDIRECT_RULES_ANNOTATION}']` } },
              ],
            },
          },
        ],
      },
      { annotations: { [REDIRECT_RULES_ANNOTATION]: rules } },
    );
    const pod = await node.ready("meshed");
    const ip = address("meshed");
    assert.equal(await get(`http://${ip}:8080/`), "application");
    const seen = async (): Promise<string[]> => (await node.logs("meshed", "linkerd-proxy")).split("\n");
    // The kubelet's probe and our request both came in by the proxy.
    assert.ok((await seen()).filter((line) => line === `4143 ${ip}:8080`).length >= 2, String(await seen()));
    let told = "";
    const reading = (async () => {
      const signal = AbortSignal.timeout(15_000);
      for await (const chunk of node.node.logs(pod, {
        container: "linkerd-proxy",
        previous: false,
        follow: true,
        timestamps: false,
        signal,
      })) {
        told += Buffer.from(chunk).toString();
      }
    })();
    node.api.deletePod(NAMESPACE, "meshed", 10);
    await node.gone("meshed");
    await reading;
    // What the application asked for went out by the proxy, to the Service's address.
    assert.match(told, new RegExp(`^4140 ${node.clusterIp(20)}:80$`, "m"));
  });

  test("dialling ends when it is aborted; the connection it gave does not", async () => {
    const stop = new AbortController();
    const stream = await node.node.dial(address("one"), 8080, stop.signal);
    stop.abort(new Error("not needed"));
    stream.write("GET / HTTP/1.1\r\nhost: one\r\nconnection: close\r\n\r\n");
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    assert.match(text, /one$/);
    await assert.rejects(async () => node.node.dial(address("one"), 8080, stop.signal), /not needed/);
    await assert.rejects(async () => node.node.dial(address("one"), 8081), /ECONNREFUSED/);
  });

  test("a hostNetwork pod has its node's address, never the real host's network", async () => {
    node.create("host", { nodeName: "node2", hostNetwork: true, containers: [server(8081, "host")] });
    const { status } = await node.ready("host");
    const nodeAddress = node.network.nodes[1]?.address;
    assert.deepEqual([status?.podIP, status?.hostIP], [nodeAddress, nodeAddress]);
    assert.equal(
      await fromPod("asks-host", `fetch("http://${nodeAddress}:8081").then(r=>r.text()).then(console.log)`),
      "host",
    );
    await assert.rejects(async () => node.node.dial("127.0.0.1", 8081), /ECONNREFUSED/);
    node.api.deletePod(NAMESPACE, "host");
    await node.gone("host");
    await assert.rejects(async () => node.node.dial(nodeAddress ?? "", 8081), /ECONNREFUSED/);
  });

  test("the host keeps its own rules and forwarding", () => {
    const tables = execFileSync("iptables-save", { encoding: "utf8" });
    assert.doesNotMatch(tables, /SERVICES/);
  });

  test("a forwarded port reaches what listens on the pod's loopback only", async () => {
    const program = `require("net").createServer({allowHalfOpen:true},(s)=>{let t="";s.on("data",d=>t+=d);s.on("end",()=>s.end(t.toUpperCase()))}).listen(9000,"127.0.0.1")`;
    node.create("local", { containers: [{ name: "app", command: ["node", "-e", program] }] });
    const pod = await node.ready("local");
    let stream: Awaited<ReturnType<NonNullable<typeof node.node.dialInPod>>> | undefined;
    await until("it listens", async () => {
      stream = await node.node.dialInPod?.(pod, 9000);
      return stream !== undefined;
    });
    assert.ok(stream);
    stream.end("hello");
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    assert.equal(text, "HELLO");
    await assert.rejects(async () => node.node.dialInPod?.(pod, 9001), /cannot connect to port 9001/);
  });

  function compileAddon(): string {
    const source = resolve(import.meta.dirname, "../../../runtime/proxy/transport/native/original-dst.c");
    const headers = join(dirname(dirname(process.execPath)), "include/node");
    const output = join(scratch, "original-dst.node");
    const flags = ["-shared", "-fPIC", "-O2", "-nostdlib", "-ffreestanding", "-fno-stack-protector"];
    execFileSync("cc", [...flags, `-I${headers}`, source, "-o", output]);
    return output;
  }
});
