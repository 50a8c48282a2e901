/** A parsed HTTP/1 head as a {@link RequestHead}: strings are made when they are asked for. */
import type { HeaderList, RequestHead } from "../http/request-head.ts";
import type { Head } from "./head.ts";

/** All header lines of the head at `bytes[start, head.end)`; names in lower case. */
export function headerList(bytes: Buffer, start: number, head: Head): HeaderList {
  const [, ...lines] = bytes.toString("latin1", start, head.end).trimEnd().split("\r\n");
  return lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
}

const SLASH = 47;
const NOTHING: Buffer = Buffer.alloc(0);

/** Used again for each request of a process: valid until {@link Http1RequestView.view} is called again. */
export class Http1RequestView implements RequestHead {
  #bytes = NOTHING;
  #start = 0;
  #head: Head | undefined;
  #target: { authority: string; path: string; query: string } | undefined;
  #headers: HeaderList | undefined;

  readonly scheme = "http";

  view(bytes: Buffer, start: number, head: Head): this {
    this.#bytes = bytes;
    this.#start = start;
    this.#head = head;
    this.#target = undefined;
    this.#headers = undefined;
    return this;
  }

  get method(): string {
    return this.#head?.method ?? "";
  }

  get version(): "HTTP/1.0" | "HTTP/1.1" {
    return this.#head?.minorVersion === 0 ? "HTTP/1.0" : "HTTP/1.1";
  }

  get grpc(): boolean {
    return this.#head?.grpc ?? false;
  }

  get directed(): boolean {
    return this.#head?.directed ?? false;
  }

  get authority(): string {
    const { authority } = this.#parsedTarget();
    const head = this.#head;
    if (authority !== "" || head === undefined || !head.hasHost) return authority;
    return this.#bytes.toString("latin1", head.hostStart, head.hostEnd);
  }

  get path(): string {
    return this.#parsedTarget().path;
  }

  get query(): string {
    return this.#parsedTarget().query;
  }

  header(name: string): string | undefined {
    return this.headers().find(([field]) => field === name)?.[1];
  }

  headers(): HeaderList {
    if (this.#head === undefined) return [];
    this.#headers ??= headerList(this.#bytes, this.#start, this.#head);
    return this.#headers;
  }

  /** Of a target in origin, absolute, authority or asterisk form (RFC 9112, 3.2). */
  #parsedTarget(): { authority: string; path: string; query: string } {
    this.#target ??= this.#parseTarget();
    return this.#target;
  }

  #parseTarget(): { authority: string; path: string; query: string } {
    const head = this.#head;
    if (head === undefined) return { authority: "", path: "", query: "" };
    const bytes = this.#bytes;
    const { targetStart, targetEnd } = head;
    const target = bytes.toString("latin1", targetStart, targetEnd);
    if (bytes[targetStart] === SLASH || target === "*") return split("", target);
    if (head.method === "CONNECT") return { authority: target, path: "", query: "" };
    const scheme = target.indexOf("://");
    if (scheme < 0) return split("", target);
    const rest = target.slice(scheme + 3);
    const end = rest.search(/[/?]/);
    if (end < 0) return { authority: rest, path: "/", query: "" };
    return split(rest.slice(0, end), rest[end] === "/" ? rest.slice(end) : `/${rest.slice(end)}`);
  }
}

function split(authority: string, target: string): { authority: string; path: string; query: string } {
  const query = target.indexOf("?");
  return query < 0
    ? { authority, path: target, query: "" }
    : { authority, path: target.slice(0, query), query: target.slice(query + 1) };
}
