import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ExpositionError, ExpositionParser } from "../../../runtime/prometheus/exposition-parser.ts";
import { renderLabels } from "../../../runtime/prometheus/labels.ts";

interface Read {
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

function parse(pieces: string | readonly string[], wants: (name: string) => boolean = () => true) {
  const samples: Read[] = [];
  const parser = new ExpositionParser({
    wants,
    sample: (name, labels, value) => samples.push({ name, labels: Object.fromEntries(labels.entries()), value }),
  });
  for (const piece of typeof pieces === "string" ? [pieces] : pieces) parser.push(piece);
  parser.end();
  return { samples, malformed: parser.malformed };
}

/** Lines that Linkerd's own proxy writes: its legacy part, then the OpenMetrics part. */
const LINKERD = `# HELP request_total Total count of HTTP requests.
# TYPE request_total counter
request_total{direction="inbound",target_addr="10.42.0.7:8080",target_ip="10.42.0.7",target_port="8080",tls="true",client_id="load.shop.serviceaccount.identity.linkerd.cluster.local",srv_group="",srv_kind="default",srv_name="all-unauthenticated",srv_port="8080",route_group="",route_kind="default",route_name="default",authz_group="",authz_kind="default",authz_name="all-unauthenticated"} 5213
# HELP response_latency_ms Elapsed times
# TYPE response_latency_ms histogram
response_latency_ms_bucket{direction="inbound",status_code="200",le="1"} 4999
response_latency_ms_bucket{direction="inbound",status_code="200",le="+Inf"} 5213
response_latency_ms_count{direction="inbound",status_code="200"} 5213
response_latency_ms_sum{direction="inbound",status_code="200"} 1250
process_start_time_seconds 1764036123
# HELP outbound_http_route_request_duration_seconds The time between request initialization and response completion.
# TYPE outbound_http_route_request_duration_seconds histogram
# UNIT outbound_http_route_request_duration_seconds seconds
outbound_http_route_request_duration_seconds_bucket{parent_group="core",le="0.05"} 3 # {trace_id="KOO5S4vxi0o"} 0.67 1520879607.789
process_cpu_seconds_total 2.25
# EOF
`;

describe("exposition text", () => {
  it("of Linkerd's proxy is read, legacy and OpenMetrics part alike", () => {
    const { samples, malformed } = parse(LINKERD);
    assert.equal(malformed, 0);
    assert.deepEqual(
      samples.map(({ name, value }) => [name, value]),
      [
        ["request_total", 5213],
        ["response_latency_ms_bucket", 4999],
        ["response_latency_ms_bucket", 5213],
        ["response_latency_ms_count", 5213],
        ["response_latency_ms_sum", 1250],
        ["process_start_time_seconds", 1764036123],
        ["outbound_http_route_request_duration_seconds_bucket", 3],
        ["process_cpu_seconds_total", 2.25],
      ],
    );
    assert.equal(samples[0]?.labels["client_id"], "load.shop.serviceaccount.identity.linkerd.cluster.local");
    assert.equal(samples[0]?.labels["srv_group"], "");
    assert.equal(Object.keys(samples[0]?.labels ?? {}).length, 16);
    assert.equal(samples[2]?.labels["le"], "+Inf");
  });

  it("asks once for each name and leaves the lines of unwanted names unread", () => {
    const asked: string[] = [];
    const { samples } = parse(`a{x="1"} 1\nb{ 2\na 3\nb 4\n`, (name) => {
      asked.push(name);
      return name === "a";
    });
    assert.deepEqual(asked, ["a", "b"]);
    assert.deepEqual(
      samples.map(({ value }) => value),
      [1, 3],
    );
  });

  it("knows blanks, timestamps, escapes, a trailing comma, CRLF and special values", () => {
    const { samples, malformed } = parse(
      [
        "  spaced   7  1395066363000",
        'escaped{ path = "C:\\\\DIR\\n\\"x\\"" , } 1.5e3',
        "crlf 4\r",
        "nan NaN",
        "inf +Inf",
        "ninf -Inf",
        "empty{} 0",
      ].join("\n"),
    );
    assert.equal(malformed, 0);
    assert.deepEqual(samples, [
      { name: "spaced", labels: {}, value: 7 },
      { name: "escaped", labels: { path: 'C:\\DIR\n"x"' }, value: 1500 },
      { name: "crlf", labels: {}, value: 4 },
      { name: "nan", labels: {}, value: Number.NaN },
      { name: "inf", labels: {}, value: Number.POSITIVE_INFINITY },
      { name: "ninf", labels: {}, value: Number.NEGATIVE_INFINITY },
      { name: "empty", labels: {}, value: 0 },
    ]);
  });

  it("counts lines that are no samples and goes on behind them", () => {
    const bad = ['a{b="c} 1', "a{b=c} 1", 'a{b="c"', "a", "a x", "{} 1", 'a{="c"} 1', 'a{b="c"d="e"} 1'];
    const { samples, malformed } = parse([...bad, "good 1"].join("\n"));
    assert.equal(malformed, bad.length);
    assert.deepEqual(
      samples.map(({ name }) => name),
      ["good"],
    );
  });

  it("refuses a line that never ends", () => {
    const parser = new ExpositionParser({ wants: () => true, sample: () => {} });
    assert.throws(() => {
      for (let index = 0; index < 40; index++) parser.push("x".repeat(10_000));
    }, ExpositionError);
  });

  it("reads the same however it is cut, and reads back what renderLabels wrote", () => {
    const name = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_]{0,12}$/);
    const sample = fc.record(
      {
        name,
        labels: fc.dictionary(name, fc.string({ unit: "grapheme", maxLength: 20 }), {
          maxKeys: 6,
          noNullPrototype: true,
        }),
        value: fc.double({ noNaN: true }).map((value) => value + 0),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 12 }), fc.integer({ min: 1, max: 40 }), (samples, cut) => {
        const text = samples
          .map((one) => `${one.name}{${renderLabels(Object.entries(one.labels))}} ${one.value}\n`)
          .join("");
        const pieces = text.match(new RegExp(`[\\s\\S]{1,${cut}}`, "g")) ?? [];
        const read = parse(pieces);
        assert.equal(read.malformed, 0);
        assert.deepEqual(read.samples, samples);
      }),
      { numRuns: 200 },
    );
  });
});
