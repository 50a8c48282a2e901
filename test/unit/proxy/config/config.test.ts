import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig } from "../../../../runtime/proxy/config/config.ts";
import { ConfigError } from "../../../../runtime/proxy/config/environment.ts";
import { SERVER_LIMITS } from "../../../../runtime/proxy/http2/limits.ts";
import { parseLogFilter } from "../../../../runtime/proxy/log.ts";

const P = "LINKERD2_PROXY_";
/** The eight that suffice (reference 4.8), less the folder that this proxy does not need. */
const least: Readonly<Record<string, string>> = {
  [`${P}DESTINATION_SVC_ADDR`]: "localhost.:8086",
  [`${P}POLICY_SVC_ADDR`]: "127.0.0.1:8090",
  [`${P}POLICY_WORKLOAD`]: "shop:web",
  [`${P}IDENTITY_SVC_ADDR`]: "[::1]:8080",
  [`${P}IDENTITY_LOCAL_NAME`]: "web.shop",
  [`${P}IDENTITY_TOKEN_FILE`]: "/token",
  [`${P}IDENTITY_TRUST_ANCHORS`]: "PEM",
};

function problem(changes: Readonly<Record<string, string | undefined>>): string {
  try {
    readConfig({ ...least, ...changes });
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message.replace(P, "");
  }
  return "";
}

describe("the proxy's environment", () => {
  it("names where a gateway leads, with or without dots around it", () => {
    const config = readConfig({
      ...least,
      LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES: "svc.Cluster.local., .far.example",
    });
    assert.deepEqual(config.inbound.gatewaySuffixes, ["svc.cluster.local", "far.example"]);
    assert.deepEqual(config.inbound.ports, [4191, 4143], "its own port's policy is watched from the start");
  });

  it("has the reference's defaults", () => {
    const config = readConfig(least);
    assert.deepEqual(config.outbound, {
      listen: [{ ip: "127.0.0.1", port: 4140 }],
      detectTimeoutMs: 10_000,
      connectTimeoutMs: 1_000,
      poolIdleMs: 3_000,
      discoveryIdleMs: 5_000,
      maxIdlePerEndpoint: 10_000,
      backlog: 4_096,
      sockets: {
        accept: { keepAliveMs: 10_000, userTimeoutMs: 0 },
        connect: { keepAliveMs: 10_000, userTimeoutMs: 0 },
      },
      http2: SERVER_LIMITS,
      informationalHeaders: true,
      hostnameLabels: false,
      maxInFlight: 100_000,
      ingress: false,
      queues: { http: {}, tcp: {} },
    });
    assert.deepEqual(config.http2Windows, { stream: 65_535, connection: 1_048_576 });
    assert.deepEqual(config.inbound, {
      listen: { ip: "0.0.0.0", port: 4143 },
      defaultPolicy: "all-unauthenticated",
      clusterNetworks: [],
      ports: [4191],
      opaquePorts: [],
      ips: [],
      detectTimeoutMs: 10_000,
      connectTimeoutMs: 300,
      poolIdleMs: 3_000,
      discoveryIdleMs: 90_000,
      maxIdlePerEndpoint: 10_000,
      maxInFlight: 100_000,
      authorityLabels: false,
      gatewaySuffixes: [],
      backlog: 4_096,
      sockets: {
        accept: { keepAliveMs: 10_000, userTimeoutMs: 0 },
        connect: { keepAliveMs: 10_000, userTimeoutMs: 0 },
      },
      http2: SERVER_LIMITS,
    });
    assert.deepEqual(config.admin, { ip: "127.0.0.1", port: 4191 });
    assert.deepEqual(config.tap, { listen: { ip: "0.0.0.0", port: 4190 } });
    assert.deepEqual(config.streams, {});
    assert.deepEqual(config.shutdown, { endpoint: false, graceMs: 120_000 });
    assert.equal(config.metricsRetainIdleMs, 600_000);
    assert.equal(config.headTimeoutMs, 30_000);
    assert.deepEqual(config.identity.anchors, { pem: "PEM" });
    assert.deepEqual([config.identity.minRefreshMs, config.identity.maxRefreshMs], [10_000, 86_400_000]);
  });

  it("takes what an injected pod says", () => {
    const config = readConfig({
      ...least,
      [`${P}DESTINATION_SVC_ADDR`]: "weft-destination.weft.svc.cluster.local.:8086",
      [`${P}DESTINATION_SVC_NAME`]: "weft-controller.weft",
      [`${P}INBOUND_PORTS`]: "8080,9000-9002",
      [`${P}INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION`]: "25,4000-4010",
      [`${P}INBOUND_IPS`]: "10.1.2.3,fd00::3",
      [`${P}CONTROL_STREAM_INITIAL_TIMEOUT`]: "3s",
      [`${P}CONTROL_STREAM_IDLE_TIMEOUT`]: "5m",
      [`${P}CONTROL_STREAM_LIFETIME`]: "1h",
      [`${P}OUTBOUND_LISTEN_ADDRS`]: "127.0.0.1:4140,[::1]:4140",
      [`${P}DESTINATION_PROFILE_NETWORKS`]: "10.0.0.0/8,fd00::/8",
      [`${P}ACCESS_LOG`]: "json",
      [`${P}CORES_MIN`]: "2",
      [`${P}INBOUND_ACCEPT_KEEPALIVE`]: "0",
      [`${P}OUTBOUND_CONNECT_USER_TIMEOUT`]: "30s",
      WEFT_TRUST_BUNDLE_FILE: "/trust/ca-bundle.crt",
    });
    assert.deepEqual(config.destination.address, {
      host: "weft-destination.weft.svc.cluster.local.",
      port: 8086,
      serverName: "weft-controller.weft",
    });
    assert.deepEqual(config.identity.address, { host: "::1", port: 8080 });
    assert.deepEqual(config.inbound.ports, [8080, 9000, 9001, 9002, 4191]);
    assert.deepEqual(config.inbound.opaquePorts[1], { first: 4000, last: 4010 });
    assert.deepEqual(config.inbound.sockets.accept, { keepAliveMs: 0, userTimeoutMs: 0 });
    assert.deepEqual(config.outbound.sockets.connect, { keepAliveMs: 10_000, userTimeoutMs: 30_000 });
    assert.deepEqual(config.streams, { initialMs: 3_000, idleMs: 300_000, lifetimeMs: 3_600_000 });
    assert.deepEqual(config.outbound.listen[1], { ip: "::1", port: 4140 });
    assert.equal(config.destination.profileNetworks.length, 2);
    assert.deepEqual(config.identity.anchors, { file: "/trust/ca-bundle.crt" });
    assert.equal(config.accessLog, "json");
    assert.equal(config.trace, undefined);
    assert.deepEqual([...config.ignored.keys()], [`${P}CORES_MIN`]);
  });

  it("knows a collector of spans, and what is told to it of the proxy", () => {
    const config = readConfig({
      ...least,
      [`${P}TRACE_COLLECTOR_SVC_ADDR`]: "collector.tracing.svc.cluster.local.:4317",
      [`${P}TRACE_COLLECTOR_SVC_NAME`]: "collector.tracing.serviceaccount.identity.weft.cluster.local",
      [`${P}TRACE_ATTRIBUTES_PATH`]: "/podinfo/labels",
      [`${P}TRACE_EXTRA_ATTRIBUTES`]: "k8s.pod.uid=1\nk8s.container.name=linkerd-proxy",
      OTEL_RESOURCE_ATTRIBUTES: "a=b",
      HOSTNAME: "web-0",
    });
    assert.deepEqual(config.trace, {
      collector: {
        host: "collector.tracing.svc.cluster.local.",
        port: 4317,
        serverName: "collector.tracing.serviceaccount.identity.weft.cluster.local",
      },
      resource: {
        serviceName: "linkerd-proxy",
        hostName: "web-0",
        attributesPath: "/podinfo/labels",
        extra: "k8s.pod.uid=1\nk8s.container.name=linkerd-proxy",
        otel: "a=b",
      },
    });
    assert.throws(() => readConfig({ ...least, [`${P}TRACE_COLLECTOR_SVC_ADDR`]: "collector:4317" }), /SVC_NAME/);
    assert.throws(() => readConfig({ ...least, [`${P}ACCESS_LOG`]: "xml" }), /ACCESS_LOG/);
    const shouted = readConfig({ ...least, [`${P}ACCESS_LOG`]: "Apache", [`${P}LOG_FORMAT`]: "JSON" });
    assert.deepEqual([shouted.accessLog, shouted.log.format], ["apache", "json"]);
  });

  it("needs each of its least", () => {
    for (const name of Object.keys(least)) {
      assert.match(problem({ [name]: undefined }), /is required/, name);
      assert.match(problem({ [name]: "" }), /is required/, name);
    }
  });

  it("names the variable and what is wrong with it", () => {
    const cases: readonly [name: string, value: string, expected: RegExp][] = [
      ["INBOUND_DEFAULT_POLICY", "open", /INBOUND_DEFAULT_POLICY: "open" is none of all-unauthenticated, /],
      ["INBOUND_DEFAULT_POLICY", "cluster-authenticated", /POLICY_CLUSTER_NETWORKS: is required by/],
      ["POLICY_CLUSTER_NETWORKS", "10.0.0.0/33", /"10.0.0.0\/33" is not a network/],
      ["INBOUND_PORTS", "80,http", /"http" is not a port/],
      ["INBOUND_IPS", "10.1", /"10.1" is not an IP address/],
      ["OUTBOUND_DETECT_TIMEOUT", "10", /"10" is not a duration/],
      ["ADMIN_LISTEN_ADDR", "localhost:4191", /"localhost:4191" is not ip:port/],
      ["INBOUND_LISTEN_ADDR", "0.0.0.0:99999", /is not ip:port/],
      ["OUTBOUND_LISTEN_ADDRS", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", /one or two/],
      ["DESTINATION_SVC_ADDR", "weft-destination", /neither name:port nor ip:port/],
      [
        "DESTINATION_SVC_ADDR",
        "weft-destination:8086",
        /DESTINATION_SVC_NAME: is required: .* only loopback may be plain/,
      ],
      ["TAP_SVC_NAME", "x", /^$/],
      ["SHUTDOWN_ENDPOINT_ENABLED", "yes", /neither true nor false/],
      ["CORES", "two", /CORES: "two" is not a number/],
      ["INBOUND_CONNECT_EXP_BACKOFF_JITTER", "2", /not between 0 and 1/],
      ["INBOUND_CONNECT_EXP_BACKOFF_MIN", "1s", /BACKOFF_MAX: is required where another/],
      ["OUTBOUND_CONNECT_EXP_BACKOFF_JITTER", "0.5", /BACKOFF_MIN: is required where another/],
      ["OUTBOUND_SERVER_HTTP2_KEEP_ALIVE_INTERVAL", "soon", /not a duration/],
      ["INBOUND_SERVER_HTTP2_MAX_FRAME_SIZE", "1000", /MAX_FRAME_SIZE: is not between 16384 and 16777215/],
      ["HTTP2_INITIAL_STREAM_WINDOW_SIZE", "2147483648", /is more than 2147483647/],
      ["IDENTITY_DISABLED", "1", /without identity is not supported/],
      ["LOG", "linkerd=loud", /LOG: "linkerd=loud" is not a log filter/],
      ["INBOUND_METRICS_AUTHORITY_LABELS", "true", /"true" is none of unsafe/],
      ["LOG_FORMAT", "xml", /none of plain, json/],
    ];
    for (const [name, value, expected] of cases) assert.match(problem({ [P + name]: value }), expected);
    const streams = { [`${P}CONTROL_STREAM_INITIAL_TIMEOUT`]: "5m", [`${P}CONTROL_STREAM_IDLE_TIMEOUT`]: "3s" };
    assert.match(problem(streams), /must be shorter/);
    assert.match(problem({ [`${P}DESTINATION_SVC_ADDR`]: undefined, [`${P}DESTINATION_SVC_NAME`]: "x" }), /although/);
  });
});

describe("log filters", () => {
  it("are levels and targets, the longest target first", () => {
    assert.deepEqual(parseLogFilter("warn,linkerd=info,linkerd_tap=off,[{headers}]=off"), [
      { target: "linkerd_tap", level: 0 },
      { target: "linkerd", level: 3 },
      { target: "", level: 2 },
    ]);
    assert.deepEqual(parseLogFilter("linkerd"), [{ target: "linkerd", level: 5 }]);
    assert.deepEqual(parseLogFilter("WARN,linkerd=3,a::b=0"), [
      { target: "linkerd", level: 3 },
      { target: "a::b", level: 0 },
      { target: "", level: 2 },
    ]);
    assert.deepEqual(parseLogFilter(""), [{ target: "", level: 2 }], "as Linkerd's");
    assert.deepEqual(parseLogFilter("[{headers}]=off"), [{ target: "", level: 2 }]);
    assert.equal(parseLogFilter("a=b=c"), undefined);
    assert.equal(parseLogFilter("linkerd=9"), undefined);
  });
});
