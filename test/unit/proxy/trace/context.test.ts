import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { HeaderList, RequestHead } from "../../../../runtime/proxy/http/request-head.ts";
import { readTraceContext } from "../../../../runtime/proxy/trace/context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const SPAN = "00f067aa0ba902b7";

function head(...headers: HeaderList): RequestHead {
  return {
    method: "GET",
    scheme: "http",
    authority: "",
    path: "/",
    query: "",
    version: "HTTP/1.1",
    grpc: false,
    header: (name) => headers.find(([field]) => field === name)?.[1],
    headers: () => headers,
  };
}

describe("a trace context", () => {
  it("of traceparent is read, and names the new parent", () => {
    const context = readTraceContext(
      head(["traceparent", `00-${TRACE}-${PARENT}-01`], ["tracestate", "a=1"], ["tracestate", "b=2"]),
    );
    assert.deepEqual(
      [context?.traceId, context?.parentId, context?.sampled, context?.state],
      [TRACE, PARENT, true, "a=1,b=2"],
    );
    assert.deepEqual(context?.fields(SPAN), [["traceparent", `00-${TRACE}-${SPAN}-01`]]);
    assert.equal(readTraceContext(head(["traceparent", `00-${TRACE}-${PARENT}-00`]))?.sampled, false);
  });

  it("of a later version is read as far as this one knows it, and sent on as version 00", () => {
    const context = readTraceContext(head(["traceparent", `cc-${TRACE}-${PARENT}-ff-what-comes`]));
    assert.equal(context?.sampled, true);
    assert.deepEqual(context?.fields(SPAN), [["traceparent", `00-${TRACE}-${SPAN}-03`]]);
  });

  it("that is not valid is none (W3C Trace Context, 3.2)", () => {
    for (const text of [
      "",
      "00",
      `ff-${TRACE}-${PARENT}-01`,
      `00-${TRACE}-${PARENT}-01-more`,
      `00-${TRACE.toUpperCase()}-${PARENT}-01`,
      `00-${"0".repeat(32)}-${PARENT}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE}-${PARENT}`,
      `00-${TRACE}-${PARENT}-1`,
      `00-${TRACE}-${PARENT}-0g`,
      `0-${TRACE}-${PARENT}-01`,
    ]) {
      assert.equal(readTraceContext(head(["traceparent", text])), undefined, text);
    }
    const one: [string, string] = ["traceparent", `00-${TRACE}-${PARENT}-01`];
    assert.equal(readTraceContext(head(one, one)), undefined, "two of them");
    assert.equal(readTraceContext(head(["host", "a"])), undefined);
  });

  it("of B3 in one field is read with its decision", () => {
    const context = readTraceContext(head(["b3", `${TRACE}-${PARENT}-1-05e3ac9a4f6e3b90`]));
    assert.deepEqual([context?.traceId, context?.parentId, context?.sampled], [TRACE, PARENT, true]);
    assert.deepEqual(context?.fields(SPAN), [["b3", `${TRACE}-${SPAN}-1-${PARENT}`]]);
    const short = readTraceContext(head(["b3", `${PARENT}-${PARENT}-d`]));
    assert.deepEqual([short?.traceId, short?.sampled], [`${"0".repeat(16)}${PARENT}`, true]);
    assert.deepEqual(short?.fields(SPAN), [["b3", `${PARENT}-${SPAN}-d-${PARENT}`]], "its own form of the id stays");
    for (const text of ["0", "1", `${TRACE}-${PARENT}-x`, TRACE]) {
      assert.equal(readTraceContext(head(["b3", text])), undefined, text);
    }
    assert.equal(readTraceContext(head(["b3", `${TRACE}-${PARENT}`]))?.sampled, false, "nobody has decided");
  });

  it("of B3 in several fields is read, with all ways to say that it is sampled", () => {
    const ids: HeaderList = [
      ["x-b3-traceid", TRACE],
      ["x-b3-spanid", PARENT],
    ];
    for (const [decision, sampled] of [
      [["x-b3-sampled", "1"], true],
      [["x-b3-sampled", "true"], true],
      [["x-b3-flags", "1"], true],
      [["x-b3-sampled", "0"], false],
    ] as const) {
      assert.equal(readTraceContext(head(...ids, decision))?.sampled, sampled, decision.join());
    }
    assert.deepEqual(readTraceContext(head(...ids))?.fields(SPAN), [
      ["x-b3-spanid", SPAN],
      ["x-b3-parentspanid", PARENT],
    ]);
    assert.equal(readTraceContext(head(["x-b3-traceid", TRACE])), undefined);
  });

  it("of W3C goes before B3's", () => {
    const context = readTraceContext(head(["b3", `${TRACE}-${SPAN}-1`], ["traceparent", `00-${TRACE}-${PARENT}-01`]));
    assert.equal(context?.parentId, PARENT);
  });

  it("is either none or well-formed, whatever the fields say", () => {
    const piece = fc.oneof(fc.constantFrom("00", "-", TRACE, PARENT, "01", "1", "d"), fc.string({ maxLength: 8 }));
    const value = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(""));
    const names = ["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"];
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 5 }), (headers) => {
        const context = readTraceContext(head(...headers));
        if (context === undefined) return;
        assert.match(context.traceId, /^[0-9a-f]{32}$/);
        assert.match(context.parentId, /^[0-9a-f]{16}$/);
        for (const [, text] of context.fields(SPAN)) assert.match(text, /^[0-9A-Fa-fd-]+$/);
      }),
    );
  });
});
