/** Whole proxies in pods of network namespaces, with real redirects, under a control plane that comes and goes. */
import assert from "node:assert/strict";
import { type ChildProcess, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PROXY_UID } from "../../../runtime/model/names.ts";
import { port } from "../../../runtime/model/ports.ts";
import { readStrictly } from "../../unit/proxy/metrics/strict-exposition.ts";
import { type Pod, Pods } from "../proxy-data-plane/support/pods.ts";
import { CONTROLLER_IDENTITY } from "./support/control-plane.ts";
import type { PlaneOrder, PlaneStarted } from "./support/plane-in-pod.ts";
import { until } from "./support/until.ts";

const SERVICE = "10.99.0.10";
const PATH = "web.shop.svc.cluster.local:80";
const APPLICATION = `
  const http = require("node:http");
  http.createServer((request, response) => response.end(process.argv[1] + " " + (request.headers["l5d-client-id"] ?? "-")))
    .listen(8080);
`;
/** An access log, and a collector of spans that is not there. */
const WATCHING = {
  LINKERD2_PROXY_ACCESS_LOG: "json",
  LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317",
};
const script = (name: string): string => join(import.meta.dirname, "support", name);
const identityOf = (name: string): string => `${name}.shop.serviceaccount.identity.weft.cluster.local`;

describe("proxies under a control plane", () => {
  const pods = new Pods();
  const controller = pods.add();
  const one = pods.add();
  const two = pods.add();
  const client = pods.add();
  let plane: ChildProcess;
  /** By the proxy of `one`, on stderr. */
  let written = "";

  before(async () => {
    const addon = pods.buildAddon();
    const started = await controller.start<PlaneStarted>(script("plane-in-pod.ts"), {
      argument: {
        host: controller.ip,
        services: [{ address: `${SERVICE}:80`, path: PATH }],
        ports: [8080, port.admin],
      },
    });
    plane = started.child;
    for (const [name, pod] of [
      ["one", one],
      ["two", two],
      ["client", client],
    ] as const) {
      pod.redirect();
      if (pod !== client) pod.spawn(process.execPath, ["-e", APPLICATION, name]);
      const environment = environmentOf(name, pod, started.first, addon);
      const { child } = await pod.start(script("proxy-in-pod.ts"), {
        uid: PROXY_UID,
        argument: { environment: pod === one ? { ...environment, ...WATCHING } : environment },
        stderr: pod === one ? "pipe" : "inherit",
      });
      child.stderr?.on("data", (chunk: Buffer) => {
        written += chunk.toString();
      });
    }
    for (const pod of [one, two, client]) await ready(pod);
    await order({ kind: "endpoints", path: PATH, endpoints: [endpoint("one", one)] });
  });
  after(() => pods.remove());

  function environmentOf(name: string, pod: Pod, { identity, services, anchorsPem }: PlaneStarted, addon: string) {
    const folder = join(pods.folder, name);
    mkdirSync(folder);
    writeFileSync(join(folder, "token"), "a-token");
    writeFileSync(join(folder, "ca-bundle.crt"), anchorsPem);
    chmodSync(folder, 0o755);
    const P = "LINKERD2_PROXY_";
    return {
      [`${P}IDENTITY_LOCAL_NAME`]: identityOf(name),
      [`${P}IDENTITY_TOKEN_FILE`]: join(folder, "token"),
      [`${P}IDENTITY_SVC_ADDR`]: `${controller.ip}:${identity}`,
      [`${P}IDENTITY_SVC_NAME`]: CONTROLLER_IDENTITY,
      [`${P}DESTINATION_SVC_ADDR`]: `${controller.ip}:${services}`,
      [`${P}DESTINATION_SVC_NAME`]: CONTROLLER_IDENTITY,
      [`${P}POLICY_SVC_ADDR`]: `${controller.ip}:${services}`,
      [`${P}POLICY_SVC_NAME`]: CONTROLLER_IDENTITY,
      [`${P}POLICY_WORKLOAD`]: `{"ns":"shop", "pod":"${name}"}`,
      [`${P}CONTROL_STREAM_INITIAL_TIMEOUT`]: "1s",
      [`${P}INBOUND_IPS`]: pod.ip,
      [`${P}INBOUND_PORTS`]: "8080",
      [`${P}LOG`]: "error",
      WEFT_TRUST_BUNDLE_FILE: join(folder, "ca-bundle.crt"),
      WEFT_ORIGINAL_DST_ADDON: addon,
    };
  }

  const endpoint = (name: string, pod: Pod) => ({ ip: pod.ip, port: 8080, identity: identityOf(name) });

  function order(wanted: PlaneOrder): Promise<void> {
    return new Promise((resolve) => {
      plane.once("message", () => resolve());
      plane.send(wanted);
    });
  }

  async function ready(pod: Pod): Promise<void> {
    await pod.run("curl", [
      ...["-sf", "--retry", "50", "--retry-delay", "0", "--retry-max-time", "15", "--retry-all-errors"],
      `http://127.0.0.1:${port.admin}/ready`,
    ]);
  }

  const get = (address = `${SERVICE}:80`): Promise<string> =>
    client.run("curl", ["-sf", "--max-time", "5", `http://${address}/`]);

  async function servedBy(name: string, limitMs: number): Promise<number> {
    const began = performance.now();
    while (!(await get()).startsWith(name)) {
      assert.ok(performance.now() - began < limitMs, `${name} does not serve after ${limitMs} ms`);
      await sleep(20);
    }
    return performance.now() - began;
  }

  it("carry requests to the endpoint that discovery names, with both identities", async () => {
    assert.equal(await get(), `one ${identityOf("client")}`);
    const metrics = await one.run("curl", ["-sf", `http://127.0.0.1:${port.admin}/metrics?families=request_total`]);
    assert.match(metrics, /direction="inbound".*tls="true",client_id="client\.shop.*srv_name="all-unauthenticated"/);
  });

  it("tell of routes, backends, balancers and detection, in a form that keeps every rule", async () => {
    await get();
    const of = async (pod: Pod) => {
      const text = await pod.run("curl", ["-sf", `http://127.0.0.1:${port.admin}/metrics`]);
      const promtool = spawnSync("promtool", ["check", "metrics"], { input: text });
      // 3: remarks on Linkerd's names; the format itself is read without error.
      if (promtool.error === undefined) assert.ok([0, 3].includes(promtool.status ?? -1), promtool.stderr.toString());
      return readStrictly(text);
    };
    const outbound = await of(client);
    const route = outbound.get("outbound_http_route_request_statuses_total")?.samples[0];
    assert.deepEqual(Object.fromEntries(route?.labels ?? []), {
      parent_group: "core",
      parent_kind: "Service",
      parent_namespace: "shop",
      parent_name: "web",
      parent_port: "80",
      parent_section_name: "",
      route_group: "",
      route_kind: "default",
      route_namespace: "",
      route_name: "http",
      hostname: "",
      http_status: "200",
      error: "",
    });
    for (const name of [
      "outbound_http_route_backend_requests_total",
      "outbound_http_route_backend_response_duration_seconds",
      "outbound_http_balancer_endpoints",
      "outbound_tcp_protocol_connections_total",
      "outbound_tcp_detect_http_results_total",
    ]) {
      assert.ok(outbound.has(name), name);
    }
    const inbound = await of(one);
    const requests = inbound.get("inbound_http_requests_total")?.samples[0];
    assert.equal(requests?.labels.get("parent_name"), "all-unauthenticated");
    assert.ok((requests?.value ?? 0) >= 1);
    assert.ok(inbound.has("inbound_tcp_detect_http_results_total"));
  });

  it("write an access log, and go on without a collector of spans", async () => {
    const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = ["-H", `traceparent: ${parent}`, "-A", "somebody"];
    await client.run("curl", ["-sf", "--max-time", "5", ...headers, `http://${SERVICE}:80/logged?a=b`]);
    await until("the line", () => /\/logged.*\n/.test(written));
    const line = written.split("\n").find((text) => text.includes("/logged")) ?? "";
    const entry = JSON.parse(line) as Record<string, unknown>;
    assert.equal(entry["client.id"], identityOf("client"));
    assert.match(String(entry["client.addr"]), new RegExp(`^${client.ip.replaceAll(".", "\\.")}:\\d+$`));
    assert.deepEqual(
      [entry["method"], entry["uri"], entry["status"], entry["user_agent"]],
      ["GET", `http://${SERVICE}/logged?a=b`, 200, "somebody"],
    );
    const families = "weft_span_drops_total,opentelemetry_span_exports";
    const end = performance.now() + 15_000;
    for (;;) {
      const text = await one.run("curl", ["-sf", `http://127.0.0.1:${port.admin}/metrics?families=${families}`]);
      if (/weft_span_drops_total\{reason="export_failed"\} [1-9]/.test(text)) break;
      assert.ok(performance.now() < end, text);
      await sleep(200);
    }
    assert.match(await get(), /^one /);
  });

  it("follow a change of endpoints within a second", async () => {
    await get();
    await order({ kind: "endpoints", path: PATH, endpoints: [endpoint("two", two)] });
    await servedBy("two", 1_000);
    await order({ kind: "endpoints", path: PATH, endpoints: [endpoint("one", one)] });
    await servedBy("one", 1_000);
  });

  it("fail no request while the controller is away, even after the time in which unused targets are forgotten", async () => {
    await get();
    await order({ kind: "stop" });
    const end = performance.now() + 7_000;
    for (let count = 0; performance.now() < end; count++) {
      assert.equal(await get(), `one ${identityOf("client")}`, `request ${count}`);
      await sleep(count < 5 ? 50 : 1_500);
    }
    await sleep(6_000);
    assert.equal(await get(), `one ${identityOf("client")}`, "what was known stays known");
    // Somebody new is reached as if there were no mesh.
    const began = performance.now();
    assert.match(await get(`${two.ip}:8080`), /^two -$/);
    assert.ok(performance.now() - began < 2_000);
  });

  it("take what has changed when the controller is back", async () => {
    await order({ kind: "endpoints", path: PATH, endpoints: [endpoint("two", two)] });
    await order({ kind: "start" });
    await servedBy("two", 15_000);
    assert.equal(await get(), `two ${identityOf("client")}`);
  });

  it("notice that the controller's machine was lost, which says no goodbye, and find it again", async () => {
    await controller.run("ip", ["link", "set", "eth0", "down"]);
    await order({ kind: "stop" });
    assert.equal(await get(), `two ${identityOf("client")}`);
    await order({ kind: "endpoints", path: PATH, endpoints: [endpoint("one", one)] });
    await sleep(5_000);
    assert.equal(await get(), `two ${identityOf("client")}`);
    await controller.run("ip", ["link", "set", "eth0", "up"]);
    await controller.run("ip", ["route", "add", "default", "dev", "eth0"]);
    await order({ kind: "start" });
    await servedBy("one", 25_000);
  });
});
