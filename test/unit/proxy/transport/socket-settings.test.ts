import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { noOriginalDestination } from "../../../../runtime/proxy/transport/original-destination.ts";
import { keepAliveSeconds } from "../../../../runtime/proxy/transport/socket-settings.ts";
import { nobody } from "../../../../runtime/proxy/transport/stream.ts";
import { createTransport } from "../../../../runtime/proxy/transport/transport.ts";
import { listen } from "./support.ts";

/** Whether the kernel's keep-alive timer runs on the open IPv4 connection of these ports (proc(5): timer 2), and in how many seconds. */
function keepAliveTimer(localPort: number, remotePort: number): number | undefined {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0");
  const line = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((text) => text.trim().split(/\s+/))
    .find(
      ([, local, remote, state]) =>
        local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`) && state === "01",
    );
  const [timer, ticks = "0"] = (line?.[5] ?? "").split(":");
  return timer === "02" ? Number.parseInt(ticks, 16) / 100 : undefined;
}

for (const kind of ["handles", "sockets"]) {
  describe(`liveness of sockets over ${kind}`, () => {
    test("keep-alive and user time-out are set on what is accepted and what is connected, each its own", async () => {
      const told: number[] = [];
      const setUserTimeout = (fd: number, milliseconds: number): number => {
        assert.ok(fd > 2, `file descriptor ${fd}`);
        told.push(milliseconds);
        return 0;
      };
      const transport = createTransport(noOriginalDestination, kind, {
        accept: { keepAliveMs: 20_000, userTimeoutMs: 1_500 },
        connect: { keepAliveMs: 40_000, userTimeoutMs: 2_500 },
        setUserTimeout,
      });
      const { address, accept, close } = await listen(transport);
      const client = await transport.connect(address, 1_000, nobody);
      const accepted = await accept();
      const server = accepted.open(nobody);
      try {
        assert.deepEqual(told, [1_500, 2_500]);
        const ofServer = keepAliveTimer(address.port, accepted.remote.port);
        const ofClient = keepAliveTimer(accepted.remote.port, address.port);
        assert.ok(ofServer !== undefined && ofServer > 15 && ofServer <= 20, `accepted: ${ofServer}`);
        assert.ok(ofClient !== undefined && ofClient > 35 && ofClient <= 40, `connected: ${ofClient}`);
      } finally {
        client.close();
        server.close();
        close();
      }
    });

    test("nothing is set where nothing is asked for", async () => {
      const transport = createTransport(noOriginalDestination, kind);
      const { address, accept, close } = await listen(transport);
      const client = await transport.connect(address, 1_000, nobody);
      const accepted = await accept();
      const server = accepted.open(nobody);
      try {
        assert.equal(keepAliveTimer(address.port, accepted.remote.port), undefined);
        assert.equal(keepAliveTimer(accepted.remote.port, address.port), undefined);
      } finally {
        client.close();
        server.close();
        close();
      }
    });
  });
}

test("keep-alive counts whole seconds, rounded up; zero is off", () => {
  assert.deepEqual(
    [undefined, {}, { keepAliveMs: 0 }, { keepAliveMs: 1 }, { keepAliveMs: 10_000 }].map(keepAliveSeconds),
    [0, 0, 0, 1, 10],
  );
});
