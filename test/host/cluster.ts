import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "mocha";
import { ConfigurationTarget, commands, workspace } from "vscode";
import { situationOf } from "../../extension/cluster/state.ts";
import { command, SETTINGS_SECTION, setting } from "../../extension/contributions.ts";
import { activated } from "./extension.ts";

export function clusterSuite(): void {
  describe("the chosen cluster", () => {
    let folder: string;
    let server: Server;
    const sockets: Socket[] = [];

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "weft-host-"));
      // Something that takes connections and says nothing that TLS would.
      server = createServer((socket) => {
        sockets.push(socket);
        socket.on("error", () => undefined);
        socket.end("this is no API server\n");
      });
      await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
      const { port } = server.address() as { port: number };
      writeFileSync(join(folder, "good.yaml"), kubeconfig(`https://127.0.0.1:${port}`));
      writeFileSync(join(folder, "broken.yaml"), "clusters: [\n  this is: not: yaml");
      await useKubeconfig(join(folder, "good.yaml"));
    });

    after(async () => {
      await commands.executeCommand(command.disconnect);
      await useKubeconfig(undefined);
      for (const socket of sockets) socket.destroy();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    });

    it("is not contacted before the user asks", async () => {
      const { connection } = await activated();
      await commands.executeCommand("weft.services.focus");
      await connection.findCandidate();
      await sleep(1_500);
      assert.equal(situationOf(connection.state), "no-cluster");
      assert.equal(connection.state.kind === "none" && connection.state.candidate, "try");
      assert.equal(sockets.length, 0);
    });

    it("that is no API server becomes a state with a message, not a hang", async () => {
      const { connection } = await activated();
      await assert.rejects(connection.connect("try"), /127\.0\.0\.1/);
      assert.equal(situationOf(connection.state), "unreachable");
      assert.ok(sockets.length > 0);
    });

    it("is forgotten on Disconnect", async () => {
      const { connection } = await activated();
      await commands.executeCommand(command.disconnect);
      assert.equal(situationOf(connection.state), "no-cluster");
      assert.equal(connection.session, undefined);
    });

    it("cannot be had from a broken kubeconfig: the message names the file", async () => {
      const { connection } = await activated();
      await useKubeconfig(join(folder, "broken.yaml"));
      await assert.rejects(connection.connect("try"), /broken\.yaml is no valid YAML/);
      assert.equal(situationOf(connection.state), "no-kubeconfig");
    });
  });
}

async function useKubeconfig(path: string | undefined): Promise<void> {
  await workspace.getConfiguration(SETTINGS_SECTION).update(setting.kubeconfig, path, ConfigurationTarget.Workspace);
}

function kubeconfig(server: string): string {
  return `apiVersion: v1
kind: Config
current-context: try
clusters: [{name: c, cluster: {server: "${server}"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: try, context: {cluster: c, user: u}}]
`;
}
