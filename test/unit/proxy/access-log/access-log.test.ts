import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AccessLog } from "../../../../runtime/proxy/access-log/access-log.ts";
import type { AccessLogFormat } from "../../../../runtime/proxy/access-log/format.ts";
import { LineWriter } from "../../../../runtime/proxy/access-log/line-writer.ts";
import type { HeaderList, RequestHead } from "../../../../runtime/proxy/http/request-head.ts";

function head(headers: HeaderList, parts: Partial<RequestHead> = {}): RequestHead {
  return {
    method: "GET",
    scheme: "http",
    authority: "webapp:7000",
    path: "/a",
    query: "",
    version: "HTTP/1.1",
    grpc: false,
    header: (name) => headers.find(([field]) => field === name)?.[1],
    headers: () => headers,
    ...parts,
  };
}

const identity = "traffic.booksapp.serviceaccount.identity.linkerd.cluster.local";
const client = { direction: "inbound", address: { ip: "10.42.0.70", port: 32_996 }, labels: [], identity } as const;

function logged(format: AccessLogFormat, run: (log: AccessLog) => void): string[] {
  const lines: string[] = [];
  run(new AccessLog(format, { write: (line) => lines.push(line) }));
  return lines;
}

const NO_FIELDS = (): HeaderList => [];

describe("the access log", () => {
  it("has Linkerd's apache lines", () => {
    const lines = logged("apache", (log) => {
      log.open(head([]), client).response(200, NO_FIELDS);
      log.open(head([], { version: "HTTP/2", path: "/x", query: "y=1" }), client).response(404, NO_FIELDS);
      const entry = log.open(head([]), { ...client, identity: undefined, address: { ip: "fd00::1", port: 1 } });
      entry.ended();
      entry.response(200, NO_FIELDS);
      log.open(head([], { path: '/"quoted\\', authority: "" }), client).response(200, NO_FIELDS);
    });
    const time = String.raw`\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]`;
    const expected = [
      `10.42.0.70:32996 ${identity} - TIME "GET http://webapp:7000/a HTTP/1.1" 200\n`,
      `10.42.0.70:32996 ${identity} - TIME "GET http://webapp:7000/x?y=1 HTTP/2.0" 404\n`,
      `[fd00::1]:1 - - TIME "GET http://webapp:7000/a HTTP/1.1" -\n`,
      `10.42.0.70:32996 ${identity} - TIME "GET /\\"quoted\\\\ HTTP/1.1" 200\n`,
    ];
    assert.deepEqual(
      lines.map((line) => line.replace(new RegExp(time), "TIME")),
      expected,
    );
  });

  it("has Linkerd's JSON: names in order, durations in nanoseconds as text", async () => {
    const fields: HeaderList = [
      ["host", "webapp:7000"],
      ["user-agent", "Go-http-client/1.1"],
      ["x-request-id", "r-1"],
      ["x-amzn-trace-id", "not this one"],
      ["content-length", "12"],
    ];
    const lines: string[] = [];
    const entry = new AccessLog("json", { write: (line) => lines.push(line) }).open(head(fields), client);
    entry.sent();
    await sleep(20);
    entry.response(200, () => [["content-length", "19627"]]);
    entry.ended();
    assert.equal(lines.length, 1);
    const { timestamp, total_ns, processing_ns, ...rest } = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
    assert.deepEqual(rest, {
      "client.addr": "10.42.0.70:32996",
      "client.id": identity,
      host: "webapp:7000",
      method: "GET",
      request_bytes: "12",
      response_bytes: "19627",
      status: 200,
      trace_id: "r-1",
      uri: "http://webapp:7000/a",
      user_agent: "Go-http-client/1.1",
      version: "HTTP/1.1",
    });
    assert.match(String(timestamp), /^\d{4}-\d\d-\d\dT/);
    assert.ok(Number(total_ns) >= 19e6 && Number(total_ns) < 2e9, String(total_ns));
    assert.ok(Number(processing_ns) < 15e6, String(processing_ns));
    const names = Object.keys(JSON.parse(lines[0] ?? "") as object);
    assert.deepEqual(names, names.toSorted());
  });

  it("goes to stderr, beside the proxy's own log on stdout", () => {
    const module = JSON.stringify(join(import.meta.dirname, "../../../../runtime/proxy/access-log/open.ts"));
    const script = `
      const { openAccessLog } = await import(${module});
      const { log, close } = openAccessLog("apache");
      const request = { method: "GET", path: "/a", query: "", authority: "", version: "HTTP/1.1", header: () => undefined };
      log.open(request, { address: { ip: "10.1.2.3", port: 4 } }).response(200, () => []);
      close();`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.equal(stdout, "");
    assert.match(stderr, /^10\.1\.2\.3:4 - - \[.*\] "GET \/a HTTP\/1\.1" 200\n$/);
  });
});

describe("a writer of lines", () => {
  async function written(run: (fd: number) => Promise<void>): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), "weft-access-log-"));
    const file = join(folder, "log");
    const fd = openSync(file, "w");
    try {
      await run(fd);
      return readFileSync(file, "utf8");
    } finally {
      closeSync(fd);
      rmSync(folder, { recursive: true });
    }
  }

  it("writes all of them, in order, soon, and the rest when it is closed", async () => {
    const expected = Array.from({ length: 5_000 }, (_, index) => `line ${index}\n`).join("");
    const text = await written(async (fd) => {
      const writer = new LineWriter({ fd, delayMs: 5, lost: () => "lost\n" });
      for (let index = 0; index < 4_999; index++) writer.write(`line ${index}\n`);
      await sleep(100);
      writer.write("line 4999\n");
      writer.close();
      writer.write("not this\n");
    });
    assert.equal(text, expected);
  });

  it("loses whole lines where the reader is behind, and says how many", async () => {
    const text = await written(async (fd) => {
      const writer = new LineWriter({ fd, delayMs: 5, maxWaiting: 20, lost: (lines) => `${lines} lost\n` });
      for (let index = 0; index < 10; index++) writer.write("12345678\n");
      await sleep(50);
      writer.write("after\n");
      writer.close();
    });
    assert.equal(text, "12345678\n12345678\n8 lost\nafter\n");
  });
});
