/** What the environment says of this process to a collector (reference 4.3). */
import { readFileSync } from "node:fs";
import type { SpanAttribute } from "./tracer.ts";

export interface ResourceTexts {
  /** TRACE_SERVICE_NAME. */
  readonly serviceName: string;
  /** HOSTNAME. */
  readonly hostName: string;
  /** TRACE_ATTRIBUTES_PATH: a file of lines `name="value"`, as a downwardAPI volume shows a pod's labels. */
  readonly attributesPath?: string;
  /** TRACE_EXTRA_ATTRIBUTES: lines `name=value`. */
  readonly extra?: string;
  /** OTEL_RESOURCE_ATTRIBUTES: the same, or with commas. */
  readonly otel?: string;
}

/** Later ones win: service name, pod labels, extra attributes, OTEL_RESOURCE_ATTRIBUTES. @param onUnreadable told why the file's are missing */
export function resourceAttributes(texts: ResourceTexts, onUnreadable: (error: unknown) => void): SpanAttribute[] {
  const attributes = new Map<string, string | number>([
    ["service.name", texts.serviceName],
    ["process.pid", process.pid],
    ["process.start_timestamp", Math.floor(performance.timeOrigin / 1_000)],
    ["host.name", texts.hostName],
  ]);
  const all = [
    ...(texts.attributesPath === undefined ? [] : parseLines(readText(texts.attributesPath, onUnreadable), /\n/)),
    ...parseLines(texts.extra ?? "", /\n/),
    ...parseLines(texts.otel ?? "", /[\n,]/),
  ];
  for (const [name, value] of all) attributes.set(name, value);
  return [...attributes];
}

function readText(path: string, onUnreadable: (error: unknown) => void): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    onUnreadable(error);
    return "";
  }
}

function parseLines(text: string, separator: RegExp): [string, string][] {
  return text.split(separator).flatMap((line): [string, string][] => {
    const equals = line.indexOf("=");
    const name = line.slice(0, Math.max(0, equals)).trim();
    return name === ""
      ? []
      : [
          [
            name,
            line
              .slice(equals + 1)
              .trim()
              .replace(/^"|"$/g, ""),
          ],
        ];
  });
}
