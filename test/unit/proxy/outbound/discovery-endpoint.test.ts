import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Http2ClientParams, WeightedAddr } from "../../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import { lifeOf } from "../../../../runtime/proxy/http2/keep-alive.ts";
import { endpointFromWire, sameEndpoint } from "../../../../runtime/proxy/outbound/discovery-endpoint.ts";
import type { Endpoint } from "../../../../runtime/proxy/outbound/target.ts";
import { weightedAddr } from "../../../integration/proxy-control/support/messages.ts";

const seconds = (count: number) => ({ seconds: BigInt(count), nanos: 0 });

function endpoint(http2: Partial<Http2ClientParams> | undefined): Endpoint {
  const wire: WeightedAddr = {
    ...weightedAddr({ ip: "10.1.2.3", port: 80 }),
    http2: http2 && { flowControl: undefined, keepAlive: undefined, internals: undefined, ...http2 },
  };
  const read = endpointFromWire(wire);
  assert.ok(read !== undefined);
  return read;
}

const windows = (stream: number, connection: number, adaptive = false): Partial<Http2ClientParams> => ({
  flowControl: {
    initialStreamWindowSize: stream,
    initialConnectionWindowSize: connection,
    adaptiveFlowControl: adaptive,
  },
});

describe("what the controller says of HTTP/2 with an endpoint", () => {
  it("are windows and signs of life, as far as it says them", () => {
    assert.deepEqual(endpoint(windows(100_000, 200_000)).http2, { windows: { stream: 100_000, connection: 200_000 } });
    const keepAlive = { interval: seconds(20), timeout: seconds(5), whileIdle: true };
    assert.deepEqual(endpoint({ keepAlive }).http2, { life: lifeOf(20_000, 5_000) });
    assert.deepEqual(endpoint({ ...windows(100_000, 200_000), keepAlive }).http2, {
      windows: { stream: 100_000, connection: 200_000 },
      life: lifeOf(20_000, 5_000),
    });
  });

  it("is nothing where it is what holds anyway, or cannot be had", () => {
    const defaults = { interval: seconds(10), timeout: seconds(3), whileIdle: true };
    for (const http2 of [undefined, {}, { keepAlive: defaults }, windows(0, 0), windows(1, 1, true)]) {
      assert.equal(endpoint(http2).http2, undefined);
    }
    assert.deepEqual(endpoint(windows(1_000, 1_000)).http2, { windows: { stream: 65_535, connection: 65_535 } });
    assert.equal(endpoint({ keepAlive: { ...defaults, timeout: undefined } }).http2, undefined);
  });

  it("makes another endpoint of it when it changes", () => {
    const [a, b, c] = [windows(100_000, 200_000), windows(100_000, 200_000), windows(100_000, 300_000)].map(endpoint);
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    assert.equal(sameEndpoint(a, b), true);
    assert.equal(sameEndpoint(a, c), false);
    assert.equal(sameEndpoint(a, endpoint(undefined)), false);
  });
});
