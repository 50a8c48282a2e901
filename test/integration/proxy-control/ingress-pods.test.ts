/** A whole proxy in ingress mode, set by its environment, with real redirects: a request for one address goes to the Service that it names. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { PROXY_UID } from "../../../runtime/model/names.ts";
import { port } from "../../../runtime/model/ports.ts";
import { type Pod, Pods } from "../proxy-data-plane/support/pods.ts";
import { CONTROLLER_IDENTITY } from "./support/control-plane.ts";
import type { PlaneOrder, PlaneStarted } from "./support/plane-in-pod.ts";

const SERVICE = "10.99.0.10";
/** Of an address that nobody knows. */
const ELSEWHERE = "10.99.0.77";
const PATH = "web.shop.svc.cluster.local:80";
const APPLICATION = `
  require("node:http").createServer(({ headers }, response) => {
    response.end([headers["l5d-client-id"], headers["l5d-dst-override"]].join(" "));
  }).listen(8080);
`;
const script = (name: string): string => join(import.meta.dirname, "support", name);
const identityOf = (name: string): string => `${name}.shop.serviceaccount.identity.weft.cluster.local`;

describe("a proxy in ingress mode", () => {
  const pods = new Pods();
  const controller = pods.add();
  const web = pods.add();
  const ingress = pods.add();
  let plane: ChildProcess;

  before(async () => {
    const addon = pods.buildAddon();
    const started = await controller.start<PlaneStarted>(script("plane-in-pod.ts"), {
      argument: {
        host: controller.ip,
        services: [`${SERVICE}:80`, PATH].map((address) => ({ address, path: PATH })),
        ports: [8080, port.admin],
      },
    });
    plane = started.child;
    web.spawn(process.execPath, ["-e", APPLICATION]);
    await startProxy("web", web, started.first, addon, {});
    await startProxy("ingress", ingress, started.first, addon, { LINKERD2_PROXY_INGRESS_MODE: "true" });
    const endpoint = { ip: web.ip, port: 8080, identity: identityOf("web") };
    await order({ kind: "endpoints", path: PATH, endpoints: [endpoint] });
  });
  after(() => pods.remove());

  async function startProxy(
    name: string,
    pod: Pod,
    { identity, services, anchorsPem }: PlaneStarted,
    addon: string,
    more: Readonly<Record<string, string>>,
  ): Promise<void> {
    const folder = join(pods.folder, name);
    mkdirSync(folder);
    writeFileSync(join(folder, "token"), "a-token");
    writeFileSync(join(folder, "ca-bundle.crt"), anchorsPem);
    chmodSync(folder, 0o755);
    const own: Record<string, string> = {
      IDENTITY_LOCAL_NAME: identityOf(name),
      IDENTITY_TOKEN_FILE: join(folder, "token"),
      IDENTITY_SVC_ADDR: `${controller.ip}:${identity}`,
      IDENTITY_SVC_NAME: CONTROLLER_IDENTITY,
      DESTINATION_SVC_ADDR: `${controller.ip}:${services}`,
      DESTINATION_SVC_NAME: CONTROLLER_IDENTITY,
      POLICY_SVC_ADDR: `${controller.ip}:${services}`,
      POLICY_SVC_NAME: CONTROLLER_IDENTITY,
      POLICY_WORKLOAD: `{"ns":"shop", "pod":"${name}"}`,
      INBOUND_IPS: pod.ip,
      INBOUND_PORTS: "8080",
      LOG: "error",
    };
    const environment = {
      ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value])),
      ...more,
      WEFT_TRUST_BUNDLE_FILE: join(folder, "ca-bundle.crt"),
      WEFT_ORIGINAL_DST_ADDON: addon,
    };
    pod.redirect();
    await pod.start(script("proxy-in-pod.ts"), { uid: PROXY_UID, argument: { environment } });
    const patience = ["--retry", "50", "--retry-delay", "0", "--retry-max-time", "15", "--retry-all-errors"];
    await pod.run("curl", ["-sf", ...patience, `http://127.0.0.1:${port.admin}/ready`]);
  }

  function order(wanted: PlaneOrder): Promise<void> {
    return new Promise((resolve) => {
      plane.once("message", () => resolve());
      plane.send(wanted);
    });
  }

  const get = (address: string, ...headers: string[]): Promise<string> =>
    ingress.run("curl", ["-sf", "--max-time", "8", ...headers.flatMap((each) => ["-H", each]), `http://${address}/`]);

  it("leads a request to the Service that it names, whatever the address is, with both identities", async () => {
    assert.equal(await get(ELSEWHERE, `l5d-dst-override: ${PATH}`), `${identityOf("ingress")} `);
  });

  it("leads a request that names none to where it was going", async () => {
    assert.equal(await get(SERVICE), `${identityOf("ingress")} `);
  });

  it("tells nobody why a request was refused", async () => {
    const refused = await ingress.run("curl", ["-si", "-H", "l5d-dst-override: 10.0.0.1:80", `http://${ELSEWHERE}/`]);
    assert.match(refused, /^HTTP\/1\.1 400 /);
    assert.doesNotMatch(refused, /l5d-proxy-error/i);
  });
});
