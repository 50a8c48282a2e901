import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeObject } from "../../../runtime/kube/types.ts";
import { isRoot, NAMESPACE, TestNode, until } from "./support.ts";

describe("what a container of the sandbox's node sees", { skip: isRoot ? false : "needs root" }, () => {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start();
    node.api.create<KubeObject>(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace: NAMESPACE },
      data: { colour: "green", size: "7" },
      binaryData: { raw: Buffer.from([0, 255, 1]).toString("base64") },
    });
    node.api.create<KubeObject>(resource.secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "keys", namespace: NAMESPACE },
      data: { password: Buffer.from("open").toString("base64") },
    });
  });
  after(() => node?.stop());

  test("user, groups, capabilities and privileges are the security context's", async () => {
    const command = [
      "sh",
      "-c",
      "id -u; id -g; id -G; grep -E 'CapBnd|CapEff|NoNewPrivs' /proc/self/status | cut -f2; touch /x",
    ];
    node.create("bound", {
      restartPolicy: "Never",
      securityContext: { fsGroup: 3000 },
      containers: [
        {
          name: "main",
          command,
          securityContext: {
            runAsUser: 2102,
            runAsGroup: 2103,
            runAsNonRoot: true,
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ["ALL"] },
          },
        },
      ],
    });
    await node.phase("bound", "Failed");
    assert.deepEqual((await node.logs("bound", "main")).trim().split("\n"), [
      "2102",
      "2103",
      "2103 3000",
      "0000000000000000",
      "0000000000000000",
      "1",
      "touch: cannot touch '/x': Read-only file system",
    ]);
    // Root without any: what containerd leaves it.
    const root = await node.once("root", [
      "sh",
      "-c",
      "grep -E 'CapBnd|CapEff|NoNewPrivs' /proc/self/status | cut -f2; touch /x && echo written",
    ]);
    assert.deepEqual(root.trim().split("\n"), ["00000000a80425fb", "00000000a80425fb", "0", "written"]);
  });

  test("a container that must not run as root does not", async () => {
    node.create("refused", {
      containers: [{ name: "main", command: ["true"], securityContext: { runAsNonRoot: true } }],
    });
    await until(
      "it waits",
      () => node.container("refused", "main").state.waiting?.reason === "CreateContainerConfigError",
    );
    assert.match(node.container("refused", "main").state.waiting?.message ?? "", /runAsNonRoot/);
  });

  test("an image's entrypoint is not known: the pod says so", async () => {
    node.create("image", { containers: [{ name: "main", image: "nginx" }] });
    await until("it waits", () => node.container("image", "main").state.waiting?.reason === "CreateContainerError");
    assert.match(node.container("image", "main").state.waiting?.message ?? "", /has no command/);
  });

  test("an image that no registry can serve is waited for", async () => {
    node.create("nowhere", { containers: [{ name: "main", image: "localhost/nowhere:1", command: ["true"] }] });
    await until("it waits", () => node.container("nowhere", "main").state.waiting?.reason === "ImagePullBackOff");
    assert.ok(
      node.api.events.some(({ message }) =>
        message.startsWith('Failed to pull image "localhost/nowhere:1": failed to'),
      ),
    );
    node.api.deletePod(NAMESPACE, "nowhere");
    await node.gone("nowhere");
  });

  test("its own processes, its own name, this project's node, nothing of the host's homes and mounts", async () => {
    const program = `
      const fs=require("fs"); const list=(p)=>{try{return fs.readdirSync(p)}catch(e){return e.code}};
      console.log(JSON.stringify({pids:list("/proc").filter(n=>/^\\d+$/.test(n)),host:require("os").hostname(),version:process.version,
        exe:fs.readlinkSync("/proc/self/exe"),root:list("/root"),work:list("/work"),old:list("/.old"),
        foreign:fs.readFileSync("/proc/mounts","utf8").split("\\n").filter(l=>l.includes("/run/netns")||l.includes(" /old")).length,
        sysctl:(()=>{try{fs.writeFileSync("/proc/sys/kernel/hostname","x");return "written"}catch(e){return e.code}})()}))`;
    const seen = JSON.parse(await node.once("alone", ["node", "-e", program])) as Record<string, unknown>;
    assert.deepEqual(seen, {
      pids: ["1"],
      host: "alone",
      version: process.version,
      exe: "/usr/local/bin/node",
      root: [],
      work: "ENOENT",
      old: [],
      foreign: 0,
      sysctl: "EROFS",
    });
  });

  test("environment: fields, resources, objects, and names in values and arguments", async () => {
    node.create(
      "env",
      {
        restartPolicy: "Never",
        serviceAccountName: "robot",
        containers: [
          {
            name: "main",
            command: ["sh", "-c", 'echo "$0"; env | sort', "arg $(NAME) $$(NAME) $(ABSENT)"],
            resources: { limits: { memory: "64Mi" }, requests: { cpu: "250m" } },
            envFrom: [
              { prefix: "S_", configMapRef: { name: "settings" } },
              { secretRef: { name: "absent", optional: true } },
            ],
            env: [
              { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
              { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
              { name: "NODE_ADDRESS", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
              { name: "ACCOUNT", valueFrom: { fieldRef: { fieldPath: "spec.serviceAccountName" } } },
              { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
              { name: "MEMORY", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
              { name: "CPU", valueFrom: { resourceFieldRef: { resource: "requests.cpu", divisor: "1m" } } },
              { name: "PASSWORD", valueFrom: { secretKeyRef: { name: "keys", key: "password" } } },
              { name: "URL", value: "http://$(IP):$(S_size)/$(LATER)" },
              { name: "LATER", value: "x" },
            ],
          },
        ],
      },
      { labels: { app: "demo" } },
    );
    const pod = await node.phase("env", "Succeeded");
    const lines = (await node.logs("env", "main")).trim().split("\n");
    const ip = pod.status?.podIP;
    assert.equal(lines.shift(), "arg env $(NAME) $(ABSENT)");
    for (const expected of [
      "NAME=env",
      `IP=${ip}`,
      `NODE_ADDRESS=${pod.status?.hostIP}`,
      "ACCOUNT=robot",
      "LABEL=demo",
      "MEMORY=64",
      "CPU=250",
      "PASSWORD=open",
      `URL=http://${ip}:7/$(LATER)`,
      "S_colour=green",
      "HOSTNAME=env",
      "HOME=/root",
      `KUBERNETES_SERVICE_HOST=${node.clusterIp(1)}`,
    ]) {
      assert.ok(lines.includes(expected), `${expected} in\n${lines.join("\n")}`);
    }
  });

  test("a volume inside another, whatever the links on the way there", async () => {
    const said = await node.once(
      "nested",
      ["sh", "-c", "cat /var/run/secrets/settings/colour /run/secrets/settings/size; ls /run"],
      {
        volumes: [
          { name: "settings", configMap: { name: "settings" } },
          { name: "lock", emptyDir: {} },
        ],
      },
      [
        { name: "settings", mountPath: "/var/run/secrets/settings" },
        { name: "lock", mountPath: "/run" },
      ],
    );
    assert.equal(said, "green7secrets\n");
  });

  test("volumes: each kind, owners and modes, a change of all files at once", async () => {
    const program = `
      const fs=require("fs");
      const stat=(p)=>{const s=fs.statSync(p);return [s.uid,s.gid,(s.mode&0o7777).toString(8)].join(" ")};
      console.log(JSON.stringify({
        config:fs.readFileSync("/config/colour","utf8"), raw:[...fs.readFileSync("/config/raw")], link:fs.readlinkSync("/config/colour"),
        one:fs.readdirSync("/one").filter(n=>!n.startsWith("..")), single:fs.readFileSync("/single","utf8"),
        secret:fs.readFileSync("/keys/password","utf8"), secretMode:stat("/keys/password"),
        token:fs.readFileSync("/tokens/token","utf8"), tokenMode:stat("/tokens/token"), namespace:fs.readFileSync("/tokens/where/namespace","utf8"),
        labels:fs.readFileSync("/me/labels","utf8"), shared:stat("/shared")}));
      try{fs.writeFileSync("/config/new","")}catch(e){console.log(e.code)}
      fs.writeFileSync("/shared/from-main","");
      let last="";
      setInterval(()=>{
        const version=fs.realpathSync("/config/..data"); const both=fs.readFileSync(version+"/colour","utf8")+fs.readFileSync(version+"/size","utf8");
        if(both!==last)console.log(last=both)},20).unref;
      process.on("SIGTERM",()=>process.exit(0));`;
    node.create(
      "volumes",
      {
        securityContext: { runAsUser: 1000, fsGroup: 4000 },
        containers: [
          {
            name: "main",
            command: ["node", "-e", program],
            volumeMounts: [
              { name: "config", mountPath: "/config" },
              { name: "one", mountPath: "/one" },
              { name: "config", mountPath: "/single", subPath: "size" },
              { name: "keys", mountPath: "/keys" },
              { name: "tokens", mountPath: "/tokens" },
              { name: "me", mountPath: "/me" },
              { name: "shared", mountPath: "/shared" },
            ],
          },
          {
            name: "other",
            command: ["sh", "-c", "until [ -e /there/from-main ]; do sleep 0.05; done; echo found; exec sleep 1000"],
            volumeMounts: [{ name: "shared", mountPath: "/there", readOnly: true }],
          },
        ],
        volumes: [
          { name: "config", configMap: { name: "settings" } },
          { name: "one", configMap: { name: "settings", items: [{ key: "size", path: "renamed" }] } },
          { name: "keys", secret: { secretName: "keys", defaultMode: 0o400 } },
          {
            name: "tokens",
            projected: {
              sources: [
                { serviceAccountToken: { audience: "someone", expirationSeconds: 86_400, path: "token" } },
                {
                  downwardAPI: { items: [{ path: "where/namespace", fieldRef: { fieldPath: "metadata.namespace" } }] },
                },
              ],
            },
          },
          { name: "me", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
          { name: "shared", emptyDir: { medium: "Memory" } },
        ],
      },
      { labels: { b: 'two "words"', a: "1" } },
    );
    await node.ready("volumes");
    await until("main has told", async () => (await node.logs("volumes", "main")).split("\n").length > 3);
    const [told = "", refused, first] = (await node.logs("volumes", "main")).split("\n");
    assert.deepEqual(JSON.parse(told), {
      config: "green",
      raw: [0, 255, 1],
      link: "..data/colour",
      one: ["renamed"],
      single: "7",
      secret: "open",
      secretMode: "1000 4000 440",
      token: "token-1",
      tokenMode: "1000 4000 640",
      namespace: NAMESPACE,
      labels: 'a="1"\nb="two \\"words\\""',
      shared: "0 4000 2777",
    });
    assert.equal(refused, "EROFS");
    assert.equal(first, "green7");
    await until("the other container sees the file", async () => (await node.logs("volumes", "other")) === "found\n");
    const { name, uid } = node.pod("volumes").metadata;
    assert.deepEqual(node.api.minted, [
      {
        namespace: NAMESPACE,
        serviceAccount: "default",
        pod: { name, uid },
        audiences: ["someone"],
        expirationSeconds: 86_400,
      },
    ]);
    node.api.update<KubeObject>(resource.configMaps, "settings", NAMESPACE, (copy) => {
      copy["data"] = { colour: "blue", size: "8" };
    });
    await until("both files change together", async () =>
      (await node.logs("volumes", "main")).endsWith("green7\nblue8\n"),
    );
  });
});
