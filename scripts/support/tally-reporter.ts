/** A node:test reporter that prints nothing but the tally of tests, one JSON line: `{"passed":1,"failed":0}`. */
import type { TestEvent } from "node:test/reporters";

// node:test takes a reporter only as a default export.
export default async function* tally(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    // A suite passes or fails with its tests, and a file with its suites; only tests count.
    if (event.data.details.type === "suite" || isFile(event.data)) continue;
    if (event.data.skip !== undefined || event.data.todo !== undefined) continue;
    if (event.type === "test:pass") passed++;
    else failed++;
  }
  yield `${JSON.stringify({ passed, failed })}\n`;
}

/** A file that dies before its tests is reported as a test named by its path: that one does count, as failed. */
function isFile(data: { name: string; file?: string | undefined; details: object }): boolean {
  return data.file !== undefined && data.name === data.file && !("error" in data.details);
}
