/** What the environment says of HTTP/2 connections, as clients and servers see it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect, createServer, type ServerHttp2Session, type Settings } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { readConfig } from "../../../runtime/proxy/config/config.ts";
import { startInbound } from "../../../runtime/proxy/inbound/inbound.ts";
import type { DataPlaneListener } from "../../../runtime/proxy/listener.ts";
import { startOutbound } from "../../../runtime/proxy/outbound/outbound.ts";
import type { Endpoint } from "../../../runtime/proxy/outbound/target.ts";
import { TapWatchers } from "../../../runtime/proxy/tap/watchers.ts";
import { createTransport } from "../../../runtime/proxy/transport/transport.ts";
import { makeMesh } from "../proxy-data-plane/support/certificates.ts";
import { Recorder, StaticTargets, staticIdentity, staticPolicies } from "../proxy-data-plane/support/static.ts";

const LEAST = {
  LINKERD2_PROXY_DESTINATION_SVC_ADDR: "127.0.0.1:8086",
  LINKERD2_PROXY_POLICY_SVC_ADDR: "127.0.0.1:8090",
  LINKERD2_PROXY_POLICY_WORKLOAD: "shop:web",
  LINKERD2_PROXY_IDENTITY_SVC_ADDR: "127.0.0.1:8080",
  LINKERD2_PROXY_IDENTITY_LOCAL_NAME: "web.shop",
  LINKERD2_PROXY_IDENTITY_TOKEN_FILE: "/token",
  LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: "PEM",
};

interface Seen {
  /** What the side told a client of itself, and of its connection's window. */
  readonly client: { readonly settings: Settings; readonly window: number };
  /** What it told the application's server. */
  readonly server: { readonly settings: Settings; readonly window: number };
}

/** One request over one side, whose environment is `variables`. */
async function seen(
  side: "inbound" | "outbound",
  variables: Readonly<Record<string, string>>,
  http2?: Endpoint["http2"],
): Promise<Seen> {
  const named = Object.entries(variables).map(([name, value]) => [`LINKERD2_PROXY_${name}`, value]);
  const config = readConfig({ ...LEAST, ...Object.fromEntries(named) });
  const application = createServer();
  const sessions: ServerHttp2Session[] = [];
  application.on("session", (session) => sessions.push(session));
  application.on("stream", (stream) => {
    stream.respond({ ":status": 200 });
    stream.end("hello");
  });
  application.listen(0, "127.0.0.1");
  await once(application, "listening");
  const original = { ip: "127.0.0.1", port: (application.address() as AddressInfo).port };
  const common = {
    listen: [{ ip: "127.0.0.1", port: 0 }],
    identity: staticIdentity(makeMesh()("web")),
    metrics: new Recorder(),
    tap: new TapWatchers(),
    ips: new Set<string>(),
    connectTimeoutMs: 1_000,
    transport: createTransport(() => original),
    http2Limits: config[side].http2,
    http2Client: { windows: config.http2Windows },
  };
  const targets = new StaticTargets();
  const endpoint = {
    address: `${original.ip}:${original.port}`,
    ...original,
    labels: [],
    ...(http2 === undefined ? {} : { http2 }),
  };
  targets.set(endpoint.address, { endpoints: [endpoint] });
  const listener: DataPlaneListener =
    side === "inbound"
      ? await startInbound({ ...common, policies: staticPolicies({}), detectTimeoutMs: 10_000 })
      : await startOutbound({ ...common, targets });
  const client: ClientHttp2Session = connect(`http://127.0.0.1:${listener.addresses[0]?.port}`);
  try {
    await once(client, "remoteSettings");
    const request = client.request({ ":path": "/" });
    request.resume();
    const [head] = (await once(request, "response")) as [Record<string, unknown>];
    assert.equal(head[":status"], 200);
    const [session] = sessions;
    assert.ok(session !== undefined);
    const window = (of: ClientHttp2Session | ServerHttp2Session): number => of.state.remoteWindowSize ?? 0;
    return {
      client: { settings: client.remoteSettings, window: window(client) },
      server: { settings: session.remoteSettings, window: window(session) },
    };
  } finally {
    client.destroy();
    listener.close();
    for (const session of sessions) session.destroy();
    application.close();
  }
}

describe("HTTP/2 as the environment has it", () => {
  for (const side of ["inbound", "outbound"] as const) {
    it(`is told to clients and servers of the ${side} side`, async () => {
      const own = `${side.toUpperCase()}_SERVER_HTTP2`;
      const { client, server } = await seen(side, {
        [`${own}_MAX_CONCURRENT_STREAMS`]: "7",
        [`${own}_MAX_FRAME_SIZE`]: "20000",
        [`${own}_MAX_HEADER_LIST_SIZE`]: "30000",
        [`${own}_INITIAL_STREAM_WINDOW_SIZE`]: "100000",
        [`${own}_INITIAL_CONNECTION_WINDOW_SIZE`]: "200000",
        HTTP2_INITIAL_STREAM_WINDOW_SIZE: "300000",
        HTTP2_INITIAL_CONNECTION_WINDOW_SIZE: "400000",
      });
      assert.equal(client.settings.maxConcurrentStreams, 7);
      assert.equal(client.settings.maxFrameSize, 20_000);
      assert.equal(client.settings.maxHeaderListSize, 30_000);
      assert.equal(client.settings.initialWindowSize, 100_000);
      assert.equal(client.window, 200_000);
      assert.equal(server.settings.initialWindowSize, 300_000);
      // Less what it has sent of its answer.
      assert.ok(server.window <= 400_000 && server.window > 399_000, String(server.window));
    });

    it(`has what the controller says of an endpoint before that, on the ${side} side ${side === "outbound" ? "alone" : "not"}`, async () => {
      const variables = { HTTP2_INITIAL_STREAM_WINDOW_SIZE: "300000", HTTP2_INITIAL_CONNECTION_WINDOW_SIZE: "400000" };
      const { server } = await seen(side, variables, { windows: { stream: 500_000, connection: 600_000 } });
      assert.equal(server.settings.initialWindowSize, side === "outbound" ? 500_000 : 300_000);
      assert.ok(server.window > (side === "outbound" ? 599_000 : 399_000));
    });

    it(`has Linkerd's windows on the ${side} side where nothing is said, and no smaller ones where less is`, async () => {
      for (const variables of [{}, { HTTP2_INITIAL_STREAM_WINDOW_SIZE: "1000" }]) {
        const { client, server } = await seen(side, variables);
        assert.equal(client.settings.initialWindowSize, 65_535);
        assert.equal(client.window, 1_048_576);
        assert.equal(server.settings.initialWindowSize, 65_535);
        assert.ok(server.window > 1_048_000);
      }
    });
  }
});
