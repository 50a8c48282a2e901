/** Whatever a control plane sends: nothing but the one error that its readers expect. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { PathModifier } from "../../../../runtime/api/gen/io/linkerd/proxy/http_route.ts";
import type {
  Authz,
  HttpLocalRateLimit,
  HttpRoute,
  Server,
} from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import { Server as ServerMessage } from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import { OutboundPolicy } from "../../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { refusalBytes } from "../../../../runtime/proxy/http1/refusal-bytes.ts";
import { planFromPolicy } from "../../../../runtime/proxy/outbound/discovery-policy.ts";
import type { Client } from "../../../../runtime/proxy/policy/inbound.ts";
import { compileServer, InvalidPolicyError } from "../../../../runtime/proxy/policy/server.ts";
import { request } from "../route/support.ts";

const clients: readonly Client[] = [
  { address: "10.1.2.3", tls: "none" },
  { address: "fd00::1", tls: "mutual", identity: "web.shop" },
  { address: "", tls: "server" },
];

function use(server: Server): void {
  try {
    const compiled = compileServer(server, 8080);
    for (const client of clients) {
      compiled.authorizeConnection(client);
      const route = compiled.route(request("http://web.shop/a/b?x=1"));
      route?.authorize(client);
      const refusal = route?.refuse?.(request("http://web.shop/a/b?x=1"));
      if (refusal !== undefined) {
        const head = refusalBytes(refusal, { meshed: true, informed: true }, { close: false, grpc: false });
        assert.match(
          head.toString("latin1"),
          /^HTTP\/1\.1 [2-5]\d\d [^\r\n]*\r\n([a-z][a-z0-9-]*: [^\r\n]*\r\n)+\r\n$/,
        );
      }
      compiled.rateLimit?.take(client.identity, 1);
    }
  } catch (error) {
    assert.ok(error instanceof InvalidPolicyError, String(error));
  }
}

const text = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom("/", "", "/a", "(", "[", "web.shop", "*"));
const ip = fc.oneof(
  fc.constant(undefined),
  fc.record({
    ip: fc.oneof(fc.constant(undefined), fc.record({ $case: fc.constant("ipv4" as const), value: fc.nat() })),
  }),
);
const network = fc.record({ ip, prefixLen: fc.nat({ max: 200 }) });
const metadata = fc.oneof(
  fc.constant(undefined),
  fc.record({
    kind: fc.oneof(fc.constant(undefined), fc.record({ $case: fc.constant("default" as const), value: text })),
  }),
);
const authz: fc.Arbitrary<Authz> = fc.record({
  networks: fc.array(
    fc.record({ net: fc.oneof(fc.constant(undefined), network), except: fc.array(network, { maxLength: 2 }) }),
    {
      maxLength: 3,
    },
  ),
  authentication: fc.oneof(
    fc.constant(undefined),
    fc.constant({ permit: undefined }),
    fc.constant({ permit: { $case: "unauthenticated" as const, value: {} } }),
    fc.record({
      permit: fc.record({
        $case: fc.constant("meshTLS" as const),
        value: fc.record({
          clients: fc.record({
            $case: fc.constant("identities" as const),
            value: fc.record({
              identities: fc.array(fc.record({ name: text }), { maxLength: 2 }),
              suffixes: fc.array(fc.record({ parts: fc.array(text, { maxLength: 3 }) }), { maxLength: 2 }),
            }),
          }),
        }),
      }),
    }),
  ),
  labels: fc.dictionary(text, text, { maxKeys: 2 }),
  metadata,
});
const path = fc.oneof(
  fc.constant(undefined),
  fc.record({
    kind: fc.oneof(
      fc.constant(undefined),
      fc.record({ $case: fc.constant("exact" as const), value: text }),
      fc.record({ $case: fc.constant("prefix" as const), value: text }),
      fc.record({ $case: fc.constant("regex" as const), value: text }),
    ),
  }),
);
const headers = fc.oneof(
  fc.constant(undefined),
  fc.record({
    headers: fc.array(
      fc.record({ name: text, value: fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)) }),
      { maxLength: 2 },
    ),
  }),
);
const replaced = fc.oneof(
  fc.constant(undefined),
  fc.record({ replace: fc.constant(undefined) }),
  fc.record({ replace: fc.record({ $case: fc.constantFrom("full" as const, "prefix" as const), value: text }) }),
) as fc.Arbitrary<PathModifier | undefined>;
const filter: fc.Arbitrary<HttpRoute["rules"][number]["filters"][number]> = fc.record({
  kind: fc.oneof(
    fc.constant(undefined),
    fc.record({
      $case: fc.constant("failureInjector" as const),
      value: fc.record({
        status: fc.nat({ max: 700 }),
        message: text,
        ratio: fc.oneof(fc.constant(undefined), fc.record({ numerator: fc.nat(), denominator: fc.nat() })),
      }),
    }),
    fc.record({
      $case: fc.constant("requestHeaderModifier" as const),
      value: fc.record({ add: headers, set: headers, remove: fc.array(text, { maxLength: 2 }) }),
    }),
    fc.record({
      $case: fc.constant("redirect" as const),
      value: fc.record({
        scheme: fc.constant(undefined),
        host: text,
        path: replaced,
        port: fc.nat({ max: 70_000 }),
        status: fc.nat({ max: 700 }),
      }),
    }),
  ),
});
const limited = fc.oneof(fc.constant(undefined), fc.record({ requestsPerSecond: fc.nat({ max: 5 }) }));
const rateLimit: fc.Arbitrary<HttpLocalRateLimit | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.record({
    metadata,
    total: limited,
    identity: limited,
    overrides: fc.array(
      fc.record({
        limit: limited,
        clients: fc.oneof(
          fc.constant(undefined),
          fc.record({ identities: fc.array(fc.record({ name: text }), { maxLength: 2 }) }),
        ),
      }),
      { maxLength: 2 },
    ),
  }),
);
const httpRoute: fc.Arbitrary<HttpRoute> = fc.record({
  metadata,
  hosts: fc.array(
    fc.record({
      match: fc.oneof(
        fc.constant(undefined),
        fc.record({ $case: fc.constant("exact" as const), value: text }),
        fc.record({
          $case: fc.constant("suffix" as const),
          value: fc.record({ reverseLabels: fc.array(text, { maxLength: 3 }) }),
        }),
      ),
    }),
    { maxLength: 2 },
  ),
  authorizations: fc.array(authz, { maxLength: 2 }),
  rules: fc.array(
    fc.record({
      matches: fc.array(
        fc.record({
          path,
          headers: fc.array(fc.record({ name: text, value: fc.constant(undefined) }), { maxLength: 1 }),
          queryParams: fc.array(
            fc.record({ name: text, value: fc.record({ $case: fc.constant("regex" as const), value: text }) }),
            { maxLength: 1 },
          ),
          method: fc.constant(undefined),
        }),
        { maxLength: 3 },
      ),
      filters: fc.array(filter, { maxLength: 2 }),
    }),
    { maxLength: 3 },
  ),
});

describe("readers of policies", () => {
  it("survive bytes that happen to be a message", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        let server: Server | undefined;
        let policy: OutboundPolicy | undefined;
        try {
          server = ServerMessage.decode(bytes);
          policy = OutboundPolicy.decode(bytes);
        } catch {
          // Not a message: the client's decoder says so.
        }
        if (server !== undefined) use(server);
        if (policy !== undefined) planFromPolicy(policy);
      }),
      { numRuns: 2_000 },
    );
  });

  it("survive every shape of inbound policy", () => {
    fc.assert(
      fc.property(
        fc.array(httpRoute, { maxLength: 3 }),
        fc.array(authz, { maxLength: 3 }),
        rateLimit,
        (routes, authorizations, httpLocalRateLimit) => {
          use({
            protocol: {
              kind: {
                $case: "detect",
                value: { timeout: undefined, httpRoutes: routes, httpLocalRateLimit },
              },
            },
            serverIps: [],
            authorizations,
            labels: {},
          });
        },
      ),
      { numRuns: 500 },
    );
  });
});
