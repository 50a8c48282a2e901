/** Who may connect: a policy's authorizations, compiled (reference 5.1 Authz, 5.3). */
import type { Authn, Authz } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import type { Metadata } from "../../api/gen/io/linkerd/proxy/meta.ts";
import { isLoopback } from "../config/environment.ts";
import type { Labels } from "../metrics/series.ts";
import type { Client, Permit } from "./inbound.ts";
import { type AddressTest, compileNetworks, coversEverything, type Network, networkFromWire } from "./networks.ts";

export type Authorize = (client: Client) => Permit | undefined;
type ClientTest = (client: Client) => boolean;

interface Authorization {
  readonly allows: ClientTest;
  /** Whether it allows every client there can be. */
  readonly everyone: boolean;
  readonly permit: Permit;
}

/** What a pod says to itself is never checked (reference 6.4). */
const LOCALHOST = permitOf(authorizationLabels("", "default", "localhost"));

/** The first authorization that allows the client, in the order given. */
export function compileAuthorizations(authorizations: readonly Authz[]): Authorize {
  return firstThatAllows(authorizations.map(compileAuthorization));
}

/** One authorization by network and TLS, for the default policies. */
export function authorizeBy(
  name: string,
  networks: readonly Network[] | "any",
  clients: "unauthenticated" | "authenticated",
): Authorize {
  const inNetworks = networks === "any" ? always : testAddress(compileNetworks(networks));
  const authenticated = clients === "authenticated";
  return firstThatAllows([
    {
      allows: (client) => (!authenticated || client.tls === "mutual") && inNetworks(client),
      everyone: networks === "any" && !authenticated,
      permit: permitOf(authorizationLabels("", "default", name)),
    },
  ]);
}

export const forbidAll: Authorize = firstThatAllows([]);

function firstThatAllows(authorizations: readonly Authorization[]): Authorize {
  const [first] = authorizations;
  if (first?.everyone) return () => first.permit;
  const decide: Authorize = (client) =>
    authorizations.find(({ allows }) => allows(client))?.permit ?? (isLoopback(client.address) ? LOCALHOST : undefined);
  // A client is one object for the life of its connection: its requests are decided once.
  const decided = new WeakMap<Client, { readonly permit: Permit | undefined }>();
  return (client) => {
    const known = decided.get(client);
    if (known !== undefined) return known.permit;
    const permit = decide(client);
    decided.set(client, { permit });
    return permit;
  };
}

function compileAuthorization(authz: Authz): Authorization {
  const networks = authz.networks.map(({ net, except }) => ({
    net: networkFromWire(net),
    except: except.map(networkFromWire).filter((network) => network !== undefined),
  }));
  const whole = networks.flatMap(({ net, except }) => (net !== undefined && except.length === 0 ? [net] : []));
  const anywhere = coversEverything(whole);
  const tests = networks.flatMap(({ net, except }) => (net === undefined ? [] : [compileNetworks([net], except)]));
  const inNetworks = anywhere ? always : testAddress((ip) => tests.some((test) => test(ip)));
  const { test: authenticates, everyone } = compileAuthentication(authz.authentication);
  return {
    allows: (client) => authenticates(client) && inNetworks(client),
    everyone: anywhere && everyone,
    permit: permitOf(labelsOf(authz.metadata, authz.labels)),
  };
}

function compileAuthentication(authentication: Authn | undefined): { test: ClientTest; everyone: boolean } {
  const permit = authentication?.permit;
  if (permit === undefined) return { test: never, everyone: false };
  if (permit.$case === "unauthenticated") return { test: always, everyone: true };
  const clients = permit.value.clients;
  if (clients === undefined) return { test: never, everyone: false };
  if (clients.$case === "unauthenticated") return { test: (client) => client.tls !== "none", everyone: false };
  const identities = new Set(clients.value.identities.map(({ name }) => name));
  const suffixes = clients.value.suffixes.map(({ parts }) => parts.filter((part) => part !== "").join("."));
  // An empty suffix is the wildcard: any identity.
  const anyone = suffixes.includes("") || identities.has("*");
  const endings = suffixes.map((suffix) => `.${suffix}`);
  return {
    test: ({ tls, identity }) =>
      tls === "mutual" &&
      identity !== undefined &&
      (anyone || identities.has(identity) || endings.some((ending) => identity.endsWith(ending))),
    everyone: false,
  };
}

function labelsOf(metadata: Metadata | undefined, labels: Readonly<Record<string, string>>): Labels {
  const kind = metadata?.kind;
  if (kind?.$case === "resource") return authorizationLabels(kind.value.group, kind.value.kind, kind.value.name);
  if (kind?.$case === "default") return authorizationLabels("", "default", kind.value);
  return authorizationLabels(labels["group"] ?? "", labels["kind"] ?? "", labels["name"] ?? "");
}

/** The policy `audit` is known by the name of its authorization (reference 5.3). */
function permitOf(labels: Labels): Permit {
  const [, [, kind] = [], [, name] = []] = labels;
  return { labels, audit: kind === "default" && name === "audit" };
}

function authorizationLabels(group: string, kind: string, name: string): Labels {
  return [
    ["authz_group", group],
    ["authz_kind", kind],
    ["authz_name", name],
  ];
}

function testAddress(test: AddressTest): ClientTest {
  return ({ address }) => test(address);
}

function always(): boolean {
  return true;
}

function never(): boolean {
  return false;
}
