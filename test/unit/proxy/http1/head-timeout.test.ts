import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Refusal } from "../../../../runtime/proxy/http/failure.ts";
import type { HttpService } from "../../../../runtime/proxy/http/service.ts";
import { Downstream } from "../../../../runtime/proxy/http1/downstream.ts";
import { MemoryStream } from "./memory-stream.ts";

const TIMEOUT_MS = 120;
const REQUEST = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/** A connection whose requests are all refused, and how often it was told that it is over. */
function connection(timeoutMs: number): { client: MemoryStream; closings: () => number } {
  let closings = 0;
  const service: HttpService = {
    audience: { meshed: false, informed: true },
    requestLines: Buffer.alloc(0),
    tcp: { opened: () => undefined, closed: () => undefined, read: () => undefined, wrote: () => undefined },
    observed: false,
    observe: () => undefined,
    choose: () => new Refusal("no-route", "nothing is here"),
    again: () => new Refusal("no-route", "nothing is here"),
    refused: () => undefined,
    closed: () => {
      closings++;
    },
  };
  const client = new MemoryStream();
  new Downstream(client, service, timeoutMs);
  return { client, closings: () => closings };
}

describe("a head that does not end", () => {
  test("is closed on after its time, however steadily bytes come", async () => {
    const { client, closings } = connection(TIMEOUT_MS);
    await client.receive("GET / HTTP/1.1\r\n", []);
    const began = performance.now();
    while (client.closed === undefined && performance.now() - began < 2_000) {
      await client.receive("a: b\r\n", []);
      await sleep(20);
    }
    const took = performance.now() - began;
    assert.equal(client.closed, "closed");
    assert.ok(took > TIMEOUT_MS - 20 && took < 1_000, `closed after ${took} ms`);
    assert.equal(closings(), 1);
  });

  test("ends in time: neither it nor the idle connection after it is closed", async () => {
    const { client } = connection(TIMEOUT_MS);
    await client.receive(REQUEST.slice(0, 10), []);
    await sleep(20);
    await client.receive(REQUEST.slice(10), []);
    await sleep(TIMEOUT_MS * 2);
    assert.match(client.written, /^HTTP\/1\.1 404 /);
    assert.equal(client.closed, undefined);
  });

  test("waits for ever where the time-out is off", async () => {
    const { client } = connection(0);
    await client.receive(REQUEST.slice(0, 10), []);
    await sleep(50);
    assert.equal(client.closed, undefined);
    client.close();
  });
});
