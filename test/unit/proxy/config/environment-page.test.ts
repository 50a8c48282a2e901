/** docs/proxy-environment.md is what people read, config.ts and without-effect.ts what happens: they say the same, of every name of reference 4. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type ProxyConfig, readConfig } from "../../../../runtime/proxy/config/config.ts";
import { WITHOUT_EFFECT } from "../../../../runtime/proxy/config/without-effect.ts";
import { REFERENCE_NAMES, REFERENCE_NAMES_WITHOUT_PREFIX } from "./reference-names.ts";

const PREFIX = "LINKERD2_PROXY_";
/** Of the loader and main, not of a proxy's configuration. */
const ELSEWHERE = ["WEFT_BUNDLE_FOLDER", "WEFT_BUNDLE_SCRATCH", "WEFT_BUNDLE_SHA256"];
const page = readFileSync(join(import.meta.dirname, "../../../../docs/proxy-environment.md"), "utf8");

/** Cells of the rows under a heading, by the variable they begin with. */
function table(heading: string): Map<string, string[]> {
  const [, section = ""] = page.split(`\n## ${heading}\n`);
  const rows = section
    .split("\n## ")[0]!
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  return new Map(
    rows.map((line) => {
      const [name = "", ...cells] = line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim());
      return [name.replaceAll("`", ""), cells];
    }),
  );
}

const obeyed = table("Obeyed");
const ineffective = table("Without effect");
const unprefixed = table("Without the prefix");

const least: Readonly<Record<string, string>> = {
  [`${PREFIX}DESTINATION_SVC_ADDR`]: "127.0.0.1:8086",
  [`${PREFIX}POLICY_SVC_ADDR`]: "127.0.0.1:8090",
  [`${PREFIX}POLICY_WORKLOAD`]: "shop:web",
  [`${PREFIX}IDENTITY_SVC_ADDR`]: "127.0.0.1:8080",
  [`${PREFIX}IDENTITY_LOCAL_NAME`]: "web.shop",
  [`${PREFIX}IDENTITY_TOKEN_FILE`]: "/token",
  [`${PREFIX}IDENTITY_TRUST_ANCHORS`]: "PEM",
};

/** What must be set beside a variable, for it to be read or to be valid. */
const BESIDE: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  IDENTITY_SERVER_ID: { IDENTITY_LOCAL_NAME: undefined, IDENTITY_SERVER_NAME: "other.shop" },
  IDENTITY_SERVER_NAME: { IDENTITY_LOCAL_NAME: undefined, IDENTITY_SERVER_ID: "other.shop" },
  INBOUND_CONNECT_EXP_BACKOFF_MIN: { INBOUND_CONNECT_EXP_BACKOFF_MAX: "9s" },
  INBOUND_CONNECT_EXP_BACKOFF_MAX: { INBOUND_CONNECT_EXP_BACKOFF_MIN: "1s" },
  INBOUND_CONNECT_EXP_BACKOFF_JITTER: { INBOUND_CONNECT_EXP_BACKOFF_MIN: "1s", INBOUND_CONNECT_EXP_BACKOFF_MAX: "9s" },
  OUTBOUND_CONNECT_EXP_BACKOFF_MIN: { OUTBOUND_CONNECT_EXP_BACKOFF_MAX: "9s" },
  OUTBOUND_CONNECT_EXP_BACKOFF_MAX: { OUTBOUND_CONNECT_EXP_BACKOFF_MIN: "1s" },
  OUTBOUND_CONNECT_EXP_BACKOFF_JITTER: {
    OUTBOUND_CONNECT_EXP_BACKOFF_MIN: "1s",
    OUTBOUND_CONNECT_EXP_BACKOFF_MAX: "9s",
  },
  TRACE_COLLECTOR_SVC_NAME: { TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317" },
  TRACE_ATTRIBUTES_PATH: { TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317" },
  TRACE_SERVICE_NAME: { TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317" },
  TRACE_EXTRA_ATTRIBUTES: { TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317" },
  HOSTNAME: { TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317" },
  OTEL_RESOURCE_ATTRIBUTES: { TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317" },
};

/** A value that is not the default, by the ending of names; the first that fits. */
const OTHER_VALUES: readonly (readonly [ending: RegExp, value: string])[] = [
  [/_ADDRS?$/, "127.0.0.1:9999"],
  [/_NETWORKS$/, "10.9.0.0/16"],
  [/_IPS$/, "10.9.9.9"],
  [/(^|_)PORTS$|_DETECTION$/, "9090"],
  [/_IDLE_TIMEOUT$|_INITIAL_TIMEOUT$|_LIFETIME$/, "77m"],
  [/_TIMEOUT$|_TTL$|_KEEPALIVE$|_REFRESH$|_PERIOD$|_IDLE$|_INTERVAL$|_BACKOFF_M..$/, "7s"],
  [/_JITTER$/, "0.7"],
  [/_ENABLED$|_MODE$|_HEADERS$|HOSTNAME_LABELS$/, "true"],
  [/AUTHORITY_LABELS$/, "unsafe"],
  [/_POLICY$/, "deny"],
  [/^LOG_FORMAT$|^ACCESS_LOG$/, "json"],
  [/^LOG$/, "debug"],
  [/_SIZE$/, "77777"],
  [/_CAPACITY$|_BACKLOG$|_IN_FLIGHT$|_ENDPOINT$|_STREAMS$/, "77"],
  [/^IDENTITY_SERVER_/, "other.shop"],
  [/^WEFT_TRANSPORT$/, "sockets"],
  [/./, "something.else"],
];

function whole(name: string): string {
  return unprefixed.has(name) ? name : PREFIX + name;
}

function read(changes: Readonly<Record<string, string | undefined>>): ProxyConfig {
  const all = Object.entries(changes).map(([name, value]) => [whole(name), value] as const);
  return readConfig({ ...least, ...Object.fromEntries(all) });
}

/** What is not valid without the variable in question differs from what is. */
function readOr(changes: Readonly<Record<string, string | undefined>>): ProxyConfig | undefined {
  try {
    return read(changes);
  } catch {
    return undefined;
  }
}

/** Names that readConfig looks at. */
function namesRead(): Set<string> {
  const names = new Set<string>();
  for (const changes of [{}, { [`${PREFIX}IDENTITY_LOCAL_NAME`]: undefined }]) {
    const variables = { ...least, [`${PREFIX}TRACE_COLLECTOR_SVC_ADDR`]: "127.0.0.1:4317", ...changes };
    const pair = { [`${PREFIX}IDENTITY_SERVER_ID`]: "web.shop", [`${PREFIX}IDENTITY_SERVER_NAME`]: "web.shop" };
    readConfig(
      new Proxy<Record<string, string | undefined>>(
        { ...pair, ...variables },
        {
          get: (target, name) => {
            names.add(String(name));
            return target[String(name)];
          },
        },
      ),
    );
  }
  return names;
}

describe("the page of the proxy's environment", () => {
  it("has every name of the reference, as obeyed or as without effect", () => {
    for (const name of REFERENCE_NAMES) {
      assert.notEqual(obeyed.has(name), ineffective.has(name), `${name} must be in one of the two tables`);
    }
    for (const name of REFERENCE_NAMES_WITHOUT_PREFIX) assert.ok(unprefixed.has(name), name);
  });

  it("has no name that is not read, and leaves none out", () => {
    const told = [
      ...[...obeyed.keys(), ...ineffective.keys()].map((name) => PREFIX + name),
      ...[...unprefixed.keys()].filter((name) => !ELSEWHERE.includes(name)),
    ];
    assert.deepEqual(told.sort(), [...namesRead()].sort());
  });

  it("gives the code's reason for each name without effect", () => {
    assert.deepEqual([...ineffective.keys()].sort(), [...WITHOUT_EFFECT.keys()].sort());
    for (const [name, [meaning = "", reason]] of ineffective) {
      assert.ok(meaning.length > 5, name);
      assert.equal(reason, WITHOUT_EFFECT.get(name), name);
    }
  });

  it("says what each obeyed name means", () => {
    for (const [name, [, meaning = "", here = ""]] of [...obeyed, ...unprefixed]) {
      assert.ok(meaning.length > 5 && here.length > 5, name);
    }
  });

  it("has the defaults of the code", () => {
    for (const [name, [told = ""]] of [...obeyed, ...unprefixed]) {
      const value = /^`(.*)`$/.exec(told)?.[1];
      if (value === undefined) {
        assert.match(told, /^(none|required|set by the image)$/, name);
        continue;
      }
      const beside = BESIDE[name] ?? {};
      assert.deepEqual(read({ ...beside, [name]: value }), read(beside), name);
    }
  });

  for (const name of [...obeyed.keys(), ...unprefixed.keys()].filter((each) => !ELSEWHERE.includes(each))) {
    it(`is right that ${name} changes something`, () => {
      const value = OTHER_VALUES.find(([ending]) => ending.test(name))?.[1] ?? "";
      const beside = BESIDE[name] ?? {};
      if (name === "IDENTITY_DISABLED") assert.throws(() => read({ [name]: "1" }));
      else if (name.startsWith("IDENTITY_SERVER_"))
        assert.equal(read({ ...beside, [name]: value }).identity.name, value);
      else assert.notDeepEqual(read({ ...beside, [name]: value }), readOr(beside));
    });
  }
});
