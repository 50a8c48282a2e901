/**
 * Linkerd's variables (reference 4) that change nothing here, each with the reason. What is set all the same is checked, so that a typing
 * error shows at the start, and told in the log at debug. `docs/proxy-environment.md` shows the table to people.
 */
import type { Environment } from "./environment.ts";

type Form = "duration" | "integer" | "ratio" | "boolean" | "text";

interface Group {
  readonly reason: string;
  /** Names without `LINKERD2_PROXY_`, by the form their values have. */
  readonly names: Partial<Record<Form, readonly string[]>>;
}

function both(suffixes: readonly string[]): string[] {
  return suffixes.flatMap((suffix) => [`INBOUND_${suffix}`, `OUTBOUND_${suffix}`]);
}

const GROUPS: readonly Group[] = [
  {
    reason: "key and signing request are made in memory and never written",
    names: { text: ["IDENTITY_DIR"] },
  },
  {
    reason: "certificates come from the control plane's identity service, whose issuer is the mesh's own",
    names: {
      text: ["IDENTITY_SPIRE_WORKLOAD_API_ADDRESS", "IDENTITY_SPIRE_SOCKET"],
      duration: ["IDENTITY_SPIRE_EXP_BACKOFF_MIN", "IDENTITY_SPIRE_EXP_BACKOFF_MAX"],
      ratio: ["IDENTITY_SPIRE_EXP_BACKOFF_JITTER"],
    },
  },
  {
    reason: "the data plane is one thread",
    names: { integer: ["CORES", "CORES_MIN", "CORES_MAX"], ratio: ["CORES_MAX_RATIO"] },
  },
  {
    reason: "the inbound side asks for no profiles: routes of the port's policy say what it needs",
    names: { duration: ["DESTINATION_PROFILE_INITIAL_TIMEOUT"] },
  },
  {
    reason:
      "names are looked up only where `l5d-dst-override` or a gateway leads to them, and the controller says which there are",
    names: { text: ["DESTINATION_PROFILE_SUFFIXES"] },
  },
  {
    reason: "nothing is queued before the application: each request tries at once",
    names: { integer: ["INBOUND_HTTP_QUEUE_CAPACITY"], duration: ["INBOUND_HTTP_FAILFAST_TIMEOUT"] },
  },
  {
    reason: "a connection whose streams are reset faster than answered is closed, by a limit of this proxy's own",
    names: { integer: both(["SERVER_HTTP2_MAX_PENDING_ACCEPT_RESET_STREAMS"]) },
  },
  {
    reason: "what waits to be sent is bounded by back-pressure: bytes are taken from one side as the other takes them",
    names: { integer: both(["SERVER_HTTP2_MAX_SEND_BUF_SIZE"]) },
  },
  {
    reason: "windows are fixed: they are not sized by what the network seems to hold",
    names: { boolean: both(["SERVER_HTTP2_ADAPTIVE_FLOW_CONTROL"]) },
  },
  {
    reason: "Linkerd's proxy does not read it either: policies of ports say who may come in",
    names: { text: ["INBOUND_PORTS_REQUIRE_IDENTITY", "INBOUND_PORTS_REQUIRE_TLS"] },
  },
  {
    reason: "Linkerd's proxy does not read it either: spans go as OTLP over gRPC, with the labels of the pod",
    names: { text: ["TRACE_PROTOCOL", "TRACE_ANNOTATIONS_PATH"] },
  },
];

/** Reasons by name, without `LINKERD2_PROXY_`. */
export const WITHOUT_EFFECT: ReadonlyMap<string, string> = new Map(
  GROUPS.flatMap(({ reason, names }) =>
    Object.values(names)
      .flat()
      .map((name) => [name, reason] as const),
  ),
);

/** @returns what is set, by its whole name, and why that changes nothing. @throws ConfigError for a value of the wrong form */
export function readWithoutEffect(env: Environment, prefix: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const { reason, names } of GROUPS) {
    for (const [form, suffixes] of Object.entries(names) as [Form, readonly string[]][]) {
      for (const suffix of suffixes) {
        const name = prefix + suffix;
        check(env, form, name);
        const value = env.text(name);
        if (value !== undefined && value !== "false") found.set(name, reason);
      }
    }
  }
  return found;
}

function check(env: Environment, form: Form, name: string): void {
  switch (form) {
    case "duration":
      env.duration(name);
      return;
    case "integer":
      env.integer(name, 0);
      return;
    case "ratio":
      env.ratio(name, 0);
      return;
    case "boolean":
      env.boolean(name, false);
      return;
    case "text":
  }
}
