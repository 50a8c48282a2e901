import assert from "node:assert/strict";
import { renameSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type ConnectionOptions, TLSSocket, connect as tlsConnect } from "node:tls";
import { status } from "@grpc/grpc-js";
import { parseSigningRequest } from "../../../runtime/x509/signing-request.ts";
import { createTestAuthority } from "./support/authority.ts";
import { connect, PROXY_IDENTITY } from "./support/clients.ts";
import { ControlPlane } from "./support/control-plane.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();

describe("a proxy's certificate", () => {
  it("is asked for with the token and a request for its own name, and carries a TLS 1.3 handshake both ways", async () => {
    const plane = new ControlPlane({ authority });
    const clients = await connect(plane);
    try {
      await clients.identity.ready;
      const [request] = plane.certified;
      assert.equal(request?.token.toString(), "first-token");
      assert.deepEqual(parseSigningRequest(request.certificateSigningRequest).dnsNames, [PROXY_IDENTITY]);
      const seen = await handshake(clients.identity.context());
      assert.deepEqual(seen, { protocol: "TLSv1.3", client: `DNS:${PROXY_IDENTITY}`, authorized: true, reused: false });
    } finally {
      clients.close();
    }
  });

  it("is renewed at 70 % of its life with the token read again, and the key stays the same", async () => {
    const plane = new ControlPlane({ authority, leafLifeMs: 4_000 });
    const clients = await connect(plane, { minRefreshMs: 10 });
    try {
      await clients.identity.ready;
      const first = clients.identity.context();
      writeFileSync(clients.tokenFile, "second-token");
      const left = (clients.identity.validity?.notAfter.getTime() ?? 0) - Date.now();
      const began = performance.now();
      await until("a renewal", () => plane.certified.length === 2);
      const waited = performance.now() - began;
      assert.ok(Math.abs(waited - left * 0.7) < 250, `renewed after ${waited} of ${left} ms`);
      assert.equal(plane.certified[1]?.token.toString(), "second-token");
      assert.deepEqual(
        plane.certified[1]?.certificateSigningRequest.subarray(0, 100),
        plane.certified[0]?.certificateSigningRequest.subarray(0, 100),
      );
      await until("the new context", () => clients.identity.context() !== first);
    } finally {
      clients.close();
    }
  });

  it("stays in use while identity refuses, and is gone when it has expired", async () => {
    const plane = new ControlPlane({ authority, leafLifeMs: 1_500 });
    const clients = await connect(plane, { minRefreshMs: 10 });
    try {
      await clients.identity.ready;
      plane.refusal = { code: status.UNAVAILABLE, details: "no issuer" };
      await until("a failed renewal", () => clients.refreshes.includes("error"));
      assert.ok(clients.identity.context() !== undefined);
      await until("expiry", () => clients.identity.context() === undefined);
      plane.refusal = undefined;
      plane.leafLifeMs = 60_000;
      await until("recovery", () => clients.identity.context() !== undefined, 15_000);
    } finally {
      clients.close();
    }
  });

  it("is not taken where it leads to no trust anchor or names somebody else", async () => {
    const plane = new ControlPlane({ authority });
    plane.refusal = { code: status.UNAVAILABLE, details: "not yet" };
    const clients = await connect(plane);
    try {
      await until("the first try", () => clients.refreshes.length > 0);
      // The servers keep the leaves of the first authority; what is issued from now on is the other's.
      plane.authority = createTestAuthority("stranger");
      plane.refusal = undefined;
      const before = clients.refreshes.length;
      await until("a refused leaf", () => clients.refreshes.length > before + 1);
      assert.equal(clients.identity.context(), undefined);
      assert.ok(!clients.refreshes.includes("ok"));
    } finally {
      clients.close();
    }
  });

  it("follows a new trust bundle, and is replaced when the bundle no longer has its anchor", async () => {
    const plane = new ControlPlane({ authority });
    const clients = await connect(plane);
    try {
      await clients.identity.ready;
      const first = clients.identity.context();
      const next = createTestAuthority("next");
      swap(clients.folder, clients.bundleFile, authority.anchorsPem + next.anchorsPem);
      await until("a context with both anchors", () => clients.identity.context() !== first);
      assert.equal(clients.trust.current.certificates.length, 2);
      assert.equal(plane.certified.length, 1);
      plane.stop();
      plane.authority = next;
      await plane.start();
      swap(clients.folder, clients.bundleFile, next.anchorsPem);
      await until("a certificate of the other authority", () => clients.refreshes.filter((r) => r === "ok").length > 1);
      assert.equal((await handshake(clients.identity.context())).authorized, true);
    } finally {
      clients.close();
    }
  });

  it("keeps the former bundle where the new one is no certificate", async () => {
    const plane = new ControlPlane({ authority });
    const clients = await connect(plane);
    try {
      await clients.identity.ready;
      writeFileSync(clients.bundleFile, "nothing of use");
      await new Promise((resolve) => setTimeout(resolve, 120));
      assert.equal(clients.trust.current.certificates.length, 1);
      assert.ok(clients.identity.context() !== undefined);
    } finally {
      clients.close();
    }
  });
});

/** As the kubelet does it: the file is a link, and the link is replaced. */
function swap(folder: string, file: string, text: string): void {
  const target = join(folder, `bundle-${Math.random()}`);
  writeFileSync(target, text);
  const link = join(folder, "link");
  symlinkSync(target, link);
  renameSync(link, file);
}

async function handshake(
  secureContext: ConnectionOptions["secureContext"],
): Promise<{ protocol: string | null; client: string | undefined; authorized: boolean; reused: boolean }> {
  assert.ok(secureContext !== undefined);
  const sessions: Buffer[] = [];
  // As the proxy's own servers do it: the handshake on an accepted socket, with the context of the moment.
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  try {
    const connectOnce = (session?: Buffer) =>
      new Promise<Awaited<ReturnType<typeof handshake>>>((resolve, reject) => {
        server.once("connection", (accepted) => {
          const tls = new TLSSocket(accepted, {
            isServer: true,
            secureContext,
            requestCert: true,
            rejectUnauthorized: false,
          });
          tls.on("error", reject);
          tls.once("secure", () => {
            const client = tls.getPeerX509Certificate();
            // Late enough for tickets to arrive.
            setTimeout(() => {
              resolve({
                protocol: tls.getProtocol(),
                client: client?.subjectAltName,
                authorized: client !== undefined,
                reused: tls.isSessionReused(),
              });
              tls.destroy();
            }, 20);
          });
        });
        const socket = tlsConnect({
          port,
          host: "127.0.0.1",
          servername: PROXY_IDENTITY,
          secureContext,
          ...(session === undefined ? {} : { session }),
        });
        socket.on("session", (offered: Buffer) => sessions.push(offered));
        socket.on("error", reject);
      });
    await connectOnce();
    return await connectOnce(sessions.at(-1));
  } finally {
    server.close();
  }
}
