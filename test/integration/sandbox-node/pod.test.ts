import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { resource } from "../../../runtime/kube/resources.ts";
import { get, isRoot, NAMESPACE, server, TestNode, until } from "./support.ts";

describe("pods on the sandbox's node", { skip: isRoot ? false : "needs root" }, () => {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start();
  });
  after(() => node?.stop());

  test("init containers run in order, a sidecar has started before the application, both answer at the pod's address", async () => {
    node.create("whole", {
      initContainers: [
        { name: "first", command: ["sh", "-c", "sleep 0.2; echo first"] },
        {
          ...server(8081, "sidecar", "side"),
          restartPolicy: "Always",
          startupProbe: { tcpSocket: { port: 8081 }, periodSeconds: 1 },
        },
        {
          name: "third",
          command: ["node", "-e", "fetch('http://127.0.0.1:8081').then(r=>r.text()).then(t=>console.log('found',t))"],
        },
      ],
      containers: [server(8080, "application")],
    });
    const { status } = await node.ready("whole");
    assert.equal(await get(`http://${status?.podIP}:8080/`), "application");
    assert.equal(await get(`http://${status?.podIP}:8081/`), "sidecar");
    assert.equal(await node.logs("whole", "third"), "found sidecar\n");
    assert.equal(status?.phase, "Running");
    assert.equal(status?.hostIP, node.network.nodes[0]?.address);
    assert.equal(node.container("whole", "first").state.terminated?.reason, "Completed");
    assert.deepEqual([node.container("whole", "side").started, node.container("whole", "side").ready], [true, true]);
    for (const type of ["PodScheduled", "Initialized", "ContainersReady", "Ready"]) {
      assert.equal(node.condition("whole", type), "True", type);
    }
  });

  test("pods reach each other and see the client's own address", async () => {
    const program = `require("http").createServer((q,r)=>r.end(q.socket.remoteAddress)).listen(8080,"0.0.0.0")`;
    node.create("echo", {
      nodeName: "node2",
      containers: [
        {
          name: "app",
          command: ["node", "-e", program],
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
        },
      ],
    });
    const { status } = await node.ready("echo");
    const said = await node.once("caller", [
      "node",
      "-e",
      `fetch("http://${status?.podIP}:8080").then(r=>r.text()).then(console.log)`,
    ]);
    assert.equal(said.trim(), node.pod("caller").status?.podIP);
    assert.equal(status?.hostIP, node.network.nodes[1]?.address);
    // A kubelet's probes and the API come from the node.
    assert.equal(await get(`http://${status?.podIP}:8080`), node.network.apiAddress);
  });

  test("a pod ends in order: applications, then sidecars; the rest of the time is theirs", async () => {
    const ender = (name: string, ms: number) =>
      `process.on("SIGTERM",()=>{console.log("TERM",Date.now());setTimeout(()=>process.exit(0),${ms})});setInterval(()=>{},1000);console.log("${name} up")`;
    node.create("ending", {
      terminationGracePeriodSeconds: 10,
      initContainers: [
        { name: "one", restartPolicy: "Always", command: ["node", "-e", ender("one", 0)] },
        { name: "two", restartPolicy: "Always", command: ["node", "-e", ender("two", 300)] },
      ],
      containers: [
        {
          name: "app",
          command: ["node", "-e", ender("app", 500)],
          lifecycle: { preStop: { exec: { command: ["sh", "-c", "echo hook >/tmp/hook; sleep 0.3"] } } },
        },
      ],
    });
    await node.ready("ending");
    await until("all are up", async () => (await node.logs("ending", "app")) === "app up\n");
    const pod = node.pod("ending");
    const logs: Promise<string>[] = ["app", "two", "one"].map(async (container) => {
      let text = "";
      const signal = new AbortController().signal;
      for await (const chunk of node.node.logs(pod, {
        container,
        previous: false,
        follow: true,
        timestamps: false,
        signal,
      })) {
        text += Buffer.from(chunk).toString();
      }
      return text;
    });
    const told = Date.now();
    node.api.deletePod(NAMESPACE, "ending", 10);
    const times = (await Promise.all(logs)).map((text) => Number(/TERM (\d+)/.exec(text)?.[1]));
    await node.gone("ending");
    const [app = 0, two = 0, one = 0] = times;
    assert.ok(app - told >= 300, `preStop came before SIGTERM: ${app - told} ms`);
    assert.ok(two - app >= 500, `sidecar two waited for the application: ${two - app} ms`);
    assert.ok(one - two >= 300, `sidecar one waited for two: ${one - two} ms`);
    assert.equal(existsSync(`/run/netns/${pod.metadata.uid}`), false);
  });

  test("what does not end in its time is killed", async () => {
    node.create("stubborn", {
      containers: [{ name: "app", command: ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"] }],
    });
    await node.ready("stubborn");
    let last = node.pod("stubborn");
    const end = node.api.watch(resource.pods, ({ object }) => {
      if (object.metadata.name === "stubborn") last = object as typeof last;
    });
    const began = Date.now();
    node.api.deletePod(NAMESPACE, "stubborn", 2);
    await node.gone("stubborn");
    end();
    const took = Date.now() - began;
    assert.ok(took >= 2_000 && took < 4_000, `took ${took} ms`);
    assert.equal(last.status?.containerStatuses?.[0]?.state.terminated?.exitCode, 137);
    assert.equal(last.status?.phase, "Failed");
  });

  test("what is said of a killed program is not its output", async () => {
    node.create("slain", {
      restartPolicy: "Never",
      containers: [
        {
          name: "main",
          command: ["sh", "-c", "echo up; exec sleep 1000"],
          livenessProbe: { exec: { command: ["false"] }, failureThreshold: 1, terminationGracePeriodSeconds: 1 },
        },
      ],
    });
    await node.phase("slain", "Failed");
    assert.equal(node.container("slain", "main").state.terminated?.exitCode, 137);
    assert.equal(await node.logs("slain", "main"), "up\n");
  });

  test("a crash is told with its output, and repeated after a growing pause", async () => {
    node.create("crash", {
      containers: [
        {
          name: "app",
          command: ["sh", "-c", "echo broken; exit 3"],
          terminationMessagePolicy: "FallbackToLogsOnError",
        },
        { name: "absent", command: ["nosuchprogram"] },
      ],
    });
    await until("both back off", () =>
      ["app", "absent"].every((name) => node.container("crash", name).state.waiting?.reason === "CrashLoopBackOff"),
    );
    const app = node.container("crash", "app");
    assert.equal(app.restartCount, 1);
    assert.deepEqual(
      [app.lastState.terminated?.exitCode, app.lastState.terminated?.reason, app.lastState.terminated?.message],
      [3, "Error", "broken\n"],
    );
    assert.match(app.state.waiting?.message ?? "", /^back-off 10s restarting failed container=app pod=crash_team\(/);
    const absent = node.container("crash", "absent").lastState.terminated;
    assert.deepEqual([absent?.exitCode, absent?.reason], [128, "StartError"]);
    assert.match(absent?.message ?? "", /executable file not found in \$PATH/);
    assert.equal(await node.logs("crash", "app", { previous: true }), "broken\n");
  });

  test("a failed init container ends a pod that shall not be tried again", async () => {
    node.create("never", {
      restartPolicy: "Never",
      initContainers: [{ name: "init", command: ["sh", "-c", "exit 4"] }],
      containers: [{ name: "app", command: ["sleep", "100"] }],
    });
    await node.phase("never", "Failed");
    assert.equal(node.container("never", "init").state.terminated?.exitCode, 4);
    assert.equal(node.container("never", "app").state.waiting?.reason, "PodInitializing");
  });

  test("a pod that shall end does so though it has a sidecar", async () => {
    node.create("job", {
      restartPolicy: "Never",
      initContainers: [{ ...server(8081, "side", "side"), restartPolicy: "Always" }],
      containers: [{ name: "app", command: ["sh", "-c", "sleep 1; echo a; echo b; echo c"] }],
    });
    await node.phase("job", "Succeeded");
    assert.equal(await node.logs("job", "app", { tailLines: 2 }), "b\nc\n");
    assert.equal(node.container("job", "side").state.terminated?.exitCode, 0);
  });

  test("a missing ConfigMap is told, and waited for", async () => {
    node.create("waiting", {
      containers: [
        { name: "app", command: ["cat", "/config/greeting"], volumeMounts: [{ name: "c", mountPath: "/config" }] },
      ],
      volumes: [{ name: "c", configMap: { name: "later" } }],
      restartPolicy: "Never",
    });
    const failed = 'MountVolume.SetUp failed for volume "c" : configmap "later" not found';
    await until("the event", () => node.api.events.some(({ message }) => message === failed));
    assert.equal(node.container("waiting", "app").state.waiting?.reason, "ContainerCreating");
    node.api.create(resource.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "later", namespace: NAMESPACE },
      data: { greeting: "hello" },
    });
    await node.phase("waiting", "Succeeded");
    assert.equal(await node.logs("waiting", "app"), "hello");
  });

  test("readiness follows its probe", async () => {
    const program = `
      let ready = 200;
      require("http").createServer((q,r)=>{
        if (q.url === "/toggle") ready = ready === 200 ? 503 : 200;
        r.statusCode = q.url === "/ready" ? ready : 200; r.end(q.headers["user-agent"] ?? "");
      }).listen(8080,"0.0.0.0");
      process.on("SIGTERM",()=>process.exit(0));`;
    node.create("probed", {
      containers: [
        {
          name: "app",
          command: ["node", "-e", program],
          readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    const { status } = await node.ready("probed");
    await get(`http://${status?.podIP}:8080/toggle`);
    await until("unready", () => node.condition("probed", "Ready") === "False");
    assert.ok(
      node.api.events.some(
        ({ message }) => message === "Readiness probe failed: HTTP probe failed with statuscode: 503",
      ),
    );
    await get(`http://${status?.podIP}:8080/toggle`);
    await node.ready("probed");
  });

  test("a liveness probe that fails restarts the container", async () => {
    node.create("dying", {
      containers: [
        {
          name: "app",
          command: [
            "sh",
            "-c",
            "trap 'exit 0' TERM; sleep 1.5 & wait $!; touch /tmp/dead; while :; do sleep 0.1; done",
          ],
          livenessProbe: { exec: { command: ["test", "!", "-e", "/tmp/dead"] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    await until("restarted", () => node.container("dying", "app").restartCount === 1);
    assert.ok(
      node.api.events.some(({ message }) => message === "Container app failed liveness probe, will be restarted"),
    );
    await sleep(100);
    assert.ok(node.container("dying", "app").state.running, "the new run starts with a fresh root");
  });
});
