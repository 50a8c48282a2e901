/** The default policies as authorizations (reference 6.4). */
import type { Authn, Authz, Network } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import type { DefaultInboundPolicy } from "../../model/mesh-config.ts";
import { toNetwork } from "../destination/addresses.ts";

const EVERYWHERE = ["0.0.0.0/0", "::/0"];

const anyone: Authn = { permit: { $case: "unauthenticated", value: {} } };
/** Any client with a certificate of the mesh: a suffix without parts fits every name. */
const meshed: Authn = {
  permit: {
    $case: "meshTLS",
    value: { clients: { $case: "identities", value: { identities: [], suffixes: [{ parts: [] }] } } },
  },
};

export function defaultAuthorizations(policy: DefaultInboundPolicy, clusterNetworks: readonly string[]): Authz[] {
  switch (policy) {
    case "all-unauthenticated":
      return [authorization(policy, EVERYWHERE, anyone)];
    case "all-authenticated":
      return [authorization(policy, EVERYWHERE, meshed)];
    case "cluster-unauthenticated":
      return [authorization(policy, clusterNetworks, anyone)];
    case "cluster-authenticated":
      return [authorization(policy, clusterNetworks, meshed)];
    // Lets everything pass; the proxy logs and counts what a policy would have refused.
    case "audit":
      return [authorization(policy, EVERYWHERE, anyone)];
    case "deny":
      return [];
  }
}

/** The kubelet comes without a certificate, from whatever address its node has. */
export function probeAuthorization(): Authz {
  return authorization("probe", EVERYWHERE, anyone);
}

function authorization(name: string, networks: readonly string[], authentication: Authn): Authz {
  return {
    networks: networks.map((cidr): Network => ({ net: toNetwork(cidr), except: [] })),
    authentication,
    labels: { group: "", kind: "default", name },
    metadata: { kind: { $case: "default", value: name } },
  };
}

export function isDefaultPolicy(text: string | undefined): text is DefaultInboundPolicy {
  return text !== undefined && Object.hasOwn(POLICIES, text);
}

const POLICIES: Readonly<Record<DefaultInboundPolicy, true>> = {
  "all-unauthenticated": true,
  "all-authenticated": true,
  "cluster-unauthenticated": true,
  "cluster-authenticated": true,
  deny: true,
  audit: true,
};
