/**
 * The control plane of the bench, a process in its namespace: real services over real TLS, whose answers are written down here.
 * Run with an IPC channel as `plane.ts '<PlaneScript>'`; its first message is a {@link PlaneStarted}.
 */
import { certificatePem, issueLeaf } from "../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../runtime/x509/keys.ts";
import { createTestAuthority } from "../../integration/proxy-control/support/authority.ts";
import { ControlPlane } from "../../integration/proxy-control/support/control-plane.ts";
import {
  add,
  balancer,
  defaultServer,
  detectPolicy,
  everyone,
  opaquePolicy,
  weightedAddr,
} from "../../integration/proxy-control/support/messages.ts";

/** One Service with one endpoint. */
export interface PlaneService {
  /** `ip:port` that clients dial. */
  readonly address: string;
  readonly name: string;
  readonly opaque: boolean;
  readonly endpoint: {
    readonly ip: string;
    readonly port: number;
    readonly identity?: string;
    readonly proxyPort?: number;
    /** HTTP/2 between proxies, whatever the application speaks (reference 5.2). */
    readonly hint?: "h2" | "opaque";
  };
}

export interface PlaneScript {
  readonly services: readonly PlaneService[];
  /** Of the server's pod: each has the default policy. */
  readonly inboundPorts: readonly number[];
  /** Names to issue leaves for, for peers that ask nobody. */
  readonly leaves: readonly string[];
  /** Of the proxies' own leaves. Default a day. */
  readonly leafLifeMs?: number;
}

export interface PlaneStarted {
  readonly identity: number;
  readonly services: number;
  readonly anchorsPem: string;
  /** By name: leaf with its issuer, and key, as PEM. */
  readonly leaves: Readonly<Record<string, { readonly chain: string; readonly key: string }>>;
}

const script = JSON.parse(process.argv[2] ?? "") as PlaneScript;
const authority = createTestAuthority("bench");
const plane = new ControlPlane({
  authority,
  ...(script.leafLifeMs === undefined ? {} : { leafLifeMs: script.leafLifeMs }),
});

for (const { address, name, opaque, endpoint } of script.services) {
  const path = `${name}.bench.svc.cluster.local:80`;
  const policy = opaque
    ? opaquePolicy(balancer(path))
    : detectPolicy(balancer(path), { namespace: "bench", name, port: 80 });
  plane.policy(address).first = [policy];
  const { ip, port, identity, proxyPort, hint } = endpoint;
  const labels = { service: name, namespace: "bench", pod: `${name}-1`, deployment: name };
  const told = weightedAddr({ ip, port, labels, ...(identity === undefined ? {} : { identity }) });
  const update = add([]);
  if (update.update?.$case === "add") {
    update.update.value.addrs.push({
      ...told,
      protocolHint: {
        protocol: hint === undefined ? undefined : { $case: hint, value: {} },
        opaqueTransport: proxyPort === undefined ? undefined : { inboundPort: proxyPort },
      },
    });
  }
  plane.destination(path).first = [update];
}
for (const port of script.inboundPorts) {
  plane.inbound(port).first = [defaultServer("all-unauthenticated", [everyone("all-unauthenticated")])];
}

const leaves = Object.fromEntries(
  script.leaves.map((name) => {
    const keys = generateKeyPair();
    const leaf = issueLeaf(authority.issuer, {
      publicKey: keys.publicKey,
      commonName: name,
      dnsNames: [name],
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 86_400_000),
    });
    const chain = certificatePem(leaf) + certificatePem(authority.issuer.certificate);
    return [name, { chain, key: privateKeyPem(keys.privateKey) }];
  }),
);
process.on("disconnect", () => process.exit(0));
const ports = await plane.start();
process.send?.({ ...ports, anchorsPem: authority.anchorsPem, leaves } satisfies PlaneStarted);
