import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { describe, it } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { ProgressLines } from "../../../runtime/cli/progress-lines.ts";
import { Terminal } from "../../../runtime/cli/terminal.ts";
import { Progress } from "../../../runtime/mesh/progress.ts";

const ERASE = "\r\x1b[2K";

/** What a terminal (or a file) would have received. */
function screen(isTTY: boolean): { terminal: Terminal; text: () => string } {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const output = Object.assign(stream, { isTTY, columns: 40 }) as unknown as NodeJS.WriteStream;
  return { terminal: new Terminal({ output, errors: output }), text: () => text };
}

async function walk(lines: ProgressLines): Promise<void> {
  const progress = new Progress({ onProgress: lines.report }, 2);
  await progress.step("Service weft/a", async () => "created");
  await progress
    .step("Deployment weft/b", async (waiting) => {
      waiting("0 of 1 pods ready");
      waiting("0 of 1 pods ready");
      waiting("image x cannot be pulled, and this is a long line that no narrow terminal can show");
      throw new Error("it does not become ready");
    })
    .catch(() => {});
  lines.end();
}

describe("progress", () => {
  it("in a file is a line a finished step, and why one waits, without control characters", async () => {
    const { terminal, text } = screen(false);
    await walk(new ProgressLines(terminal));
    assert.equal(
      text(),
      [
        "√ [1/2] Service weft/a: created",
        "… [2/2] Deployment weft/b: 0 of 1 pods ready",
        "× [2/2] Deployment weft/b",
        "",
      ].join("\n"),
    );
  });

  it("on a terminal writes over one line, cut to its width, and leaves only finished steps", async () => {
    const { terminal, text } = screen(true);
    await walk(new ProgressLines(terminal));
    // What a line ends up as is what was written after its last erasure.
    const left = text()
      .split("\n")
      .map((line) => stripVTControlCharacters(line.split(ERASE).at(-1) ?? ""));
    assert.deepEqual(left, ["√ [1/2] Service weft/a: created", "× [2/2] Deployment weft/b", ""]);
    for (const part of text()
      .split("\n")
      .flatMap((line) => line.split(ERASE))) {
      assert.ok(stripVTControlCharacters(part).trimEnd().length < 40, part);
    }
  });
});
