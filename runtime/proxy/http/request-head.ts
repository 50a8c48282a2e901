/**
 * A request's head as routes, policies, tap and logs ask of it, whichever protocol brought it. A view of what was received:
 * strings are made when asked for, and it is valid only while its exchange decides (copy what has to last).
 */

/** Lower-case names, in the order received; duplicates stay apart. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface RequestHead {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** `:authority`, the target's authority in absolute form, or Host, as it was sent; empty where there is none. */
  readonly authority: string;
  /** Without query. `*` for OPTIONS of the whole server; empty for CONNECT. */
  readonly path: string;
  /** Without `?`; empty where there is none. */
  readonly query: string;
  /** As access logs tell it. */
  readonly version: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";
  /** content-type is application/grpc…: errors then are gRPC's. */
  readonly grpc: boolean;
  /** Whether it has a field that says where it may go: l5d-require-id. undefined: not known, nobody looked. */
  readonly directed?: boolean;
  /** First value of the field, by lower-case name. `host` gives the authority in HTTP/2 too. */
  header(name: string): string | undefined;
  /** All fields but HTTP/2's pseudo-fields. */
  headers(): HeaderList;
}
