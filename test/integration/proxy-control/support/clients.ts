/** What main wires, for tests of one part: clients of a scripted control plane with a certificate from it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ControlClient } from "../../../../runtime/proxy/control/client.ts";
import { createGrpcClient, type TlsSource } from "../../../../runtime/proxy/control/grpc-client.ts";
import { Certifier } from "../../../../runtime/proxy/identity/certifier.ts";
import { TrustBundleSource } from "../../../../runtime/proxy/identity/trust-bundle.ts";
import { Log } from "../../../../runtime/proxy/log.ts";
import { CONTROLLER_IDENTITY, type ControlPlane } from "./control-plane.ts";

export const PROXY_IDENTITY = "web.shop.serviceaccount.identity.weft.cluster.local";
export const silent = new Log("off", "plain").logger("test");

export interface Clients {
  readonly folder: string;
  readonly tokenFile: string;
  readonly bundleFile: string;
  readonly identity: Certifier;
  readonly trust: TrustBundleSource;
  readonly refreshes: ("ok" | "error")[];
  client(tls?: TlsSource): ControlClient;
  close(): void;
}

/** Starts `plane`. The identity asks as soon as `identity.start(identityClient)` is called; here it is. */
export async function connect(
  plane: ControlPlane,
  options: { minRefreshMs?: number; maxRefreshMs?: number; lookEveryMs?: number } = {},
): Promise<Clients> {
  const ports = await plane.start();
  const folder = mkdtempSync(join(tmpdir(), "weft-proxy-control-"));
  const tokenFile = join(folder, "token");
  const bundleFile = join(folder, "ca-bundle.crt");
  writeFileSync(tokenFile, "first-token");
  writeFileSync(bundleFile, plane.authority.anchorsPem);
  const trust = new TrustBundleSource({ file: bundleFile }, silent, options.lookEveryMs ?? 20);
  const refreshes: ("ok" | "error")[] = [];
  const identity = new Certifier({
    name: PROXY_IDENTITY,
    tokenFile,
    trust,
    minRefreshMs: options.minRefreshMs ?? 10_000,
    maxRefreshMs: options.maxRefreshMs ?? 86_400_000,
    log: silent,
    onRefresh: (result) => refreshes.push(result),
  });
  const observer = { started: () => undefined, ended: () => undefined };
  const open: ControlClient[] = [];
  const clientOf = (port: number, tls: TlsSource): ControlClient => {
    const client = createGrpcClient({
      address: { host: "127.0.0.1", port, serverName: CONTROLLER_IDENTITY },
      tls,
      observer,
    });
    open.push(client);
    return client;
  };
  identity.start(clientOf(ports.identity, { context: () => identity.bootstrapContext() }));
  return {
    folder,
    tokenFile,
    bundleFile,
    identity,
    trust,
    refreshes,
    client: (tls = identity) => clientOf(ports.services, tls),
    close: () => {
      identity.close();
      trust.close();
      for (const client of open) client.close();
      plane.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
