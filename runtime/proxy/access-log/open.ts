/** The access log on stdout, beside the proxy's own log. */
import { AccessLog } from "./access-log.ts";
import type { AccessLogFormat } from "./format.ts";
import { LineWriter } from "./line-writer.ts";

const STDOUT = 1;

export function openAccessLog(format: AccessLogFormat): { log: AccessLog; close: () => void } {
  const writer = new LineWriter({
    fd: STDOUT,
    lost: (lines) =>
      format === "json"
        ? `${JSON.stringify({ lost_lines: lines })}\n`
        : `# ${lines} lines lost: the reader was behind\n`,
  });
  return { log: new AccessLog(format, writer), close: () => writer.close() };
}
