/** The access log on stderr, as Linkerd's (reference 7.6); the proxy's own log is on stdout. */
import { AccessLog } from "./access-log.ts";
import type { AccessLogFormat } from "./format.ts";
import { LineWriter } from "./line-writer.ts";

const STDERR = 2;

export function openAccessLog(format: AccessLogFormat): { log: AccessLog; close: () => void } {
  const writer = new LineWriter({
    fd: STDERR,
    lost: (lines) =>
      format === "json"
        ? `${JSON.stringify({ lost_lines: lines })}\n`
        : `# ${lines} lines lost: the reader was behind\n`,
  });
  return { log: new AccessLog(format, writer), close: () => writer.close() };
}
