/** A request's fields as a {@link RequestHead}: strings are looked for when they are asked for. */
import type { HeaderField } from "../../wire/hpack/field.ts";
import type { HeaderList, RequestHead } from "../http/request-head.ts";
import { DIRECTED, GRPC } from "./field-kinds.ts";

/** Used again for each request of a process: valid until {@link Http2RequestView.view} is called again. */
export class Http2RequestView implements RequestHead {
  readonly version = "HTTP/2";
  #fields: readonly HeaderField[] = [];
  #kinds = 0;

  view(fields: readonly HeaderField[], kinds: number): this {
    this.#fields = fields;
    this.#kinds = kinds;
    return this;
  }

  get grpc(): boolean {
    return (this.#kinds & GRPC) !== 0;
  }

  get directed(): boolean {
    return (this.#kinds & DIRECTED) !== 0;
  }

  get method(): string {
    return this.#value(":method") ?? "";
  }

  get scheme(): "http" | "https" {
    return this.#value(":scheme") === "https" ? "https" : "http";
  }

  get authority(): string {
    return this.#value(":authority") ?? this.#value("host") ?? "";
  }

  get path(): string {
    const target = this.#value(":path") ?? "";
    const query = target.indexOf("?");
    return query < 0 ? target : target.slice(0, query);
  }

  get query(): string {
    const target = this.#value(":path") ?? "";
    const query = target.indexOf("?");
    return query < 0 ? "" : target.slice(query + 1);
  }

  header(name: string): string | undefined {
    return name === "host" ? this.authority || undefined : this.#value(name);
  }

  headers(): HeaderList {
    return headerList(this.#fields);
  }

  #value(wanted: string): string | undefined {
    for (const { name, value } of this.#fields) if (name === wanted) return value;
    return undefined;
  }
}

/** Without pseudo-fields. */
export function headerList(fields: readonly HeaderField[]): HeaderList {
  return fields.filter(({ name }) => !name.startsWith(":")).map(({ name, value }) => [name, value]);
}
