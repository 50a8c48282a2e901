/** Both listeners of a proxy as the application and its peers meet them, each in front of nghttpd. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { PROXY_UID } from "../../runtime/model/names.ts";
import { type MeshedPod, sum } from "../integration/proxy-data-plane/support/mesh.ts";
import type { Pod } from "../integration/proxy-data-plane/support/pods.ts";
import { buildGo } from "../judges/support/go-programs.ts";
import { Pair, SERVICE } from "../judges/support/pair.ts";
import type { ShimOptions } from "./shim.ts";
import { judge } from "./support.ts";

const PORT = 8080;
const SHIM = 9080;

describe("h2spec, the proxy", () => {
  const pair = new Pair({ [PORT]: "detect" });
  let h2spec = "";
  let unmeshed: Pod;

  before(async () => {
    h2spec = buildGo("github.com/summerwind/h2spec/cmd/h2spec");
    await pair.start();
    unmeshed = pair.mesh.pods.add();
    mkdirSync(join(pair.folder, "www"));
    writeFileSync(join(pair.folder, "www/index.html"), "hello from nghttpd\n");
    await pair.serve(PORT, "nghttpd", ["--no-tls", "-d", join(pair.folder, "www"), String(PORT)]);
    const { ip } = pair.server.pod;
    const argument: ShimOptions = {
      listen: SHIM,
      credentials: pair.client.credentials,
      to: { ip, identity: pair.server.credentials.name, port: PORT },
    };
    // As the proxy's user, whom the redirect lets out.
    await pair.client.pod.start(join(import.meta.dirname, "shim.ts"), { uid: PROXY_UID, argument });
  });
  after(() => pair.remove());

  /** A proxy that passed HTTP/2 on as bytes would leave the judgement to the server behind it. */
  async function judged(
    context: TestContext,
    name: string,
    from: Pod,
    target: { host: string; port: number },
    side: { readonly meshed: MeshedPod; readonly direction: string },
  ): Promise<void> {
    const requests = (): Promise<number> => sum(side.meshed.proxy, "request_total", `direction="${side.direction}"`);
    const before = await requests();
    await from.run("nghttp", [`http://${target.host}:${target.port}/`]);
    assert.equal(
      (await requests()) - before,
      1,
      "the proxy does not count the request: it relays HTTP/2 as opaque bytes, so h2spec would judge the server behind it",
    );
    await judge(context, h2spec, target, join(pair.folder, `${name}.xml`), (command, argv) => from.run(command, argv));
  }

  test("outbound: the application's client", (context) =>
    judged(
      context,
      "outbound",
      pair.client.pod,
      { host: SERVICE, port: PORT },
      {
        meshed: pair.client,
        direction: "outbound",
      },
    ));

  test("inbound: a client without a mesh", (context) =>
    judged(
      context,
      "inbound",
      unmeshed,
      { host: pair.server.pod.ip, port: PORT },
      {
        meshed: pair.server,
        direction: "inbound",
      },
    ));

  test("inbound: a peer, in mesh TLS behind a transport header", (context) =>
    judged(
      context,
      "peer",
      pair.client.pod,
      { host: "127.0.0.1", port: SHIM },
      {
        meshed: pair.server,
        direction: "inbound",
      },
    ));
});
