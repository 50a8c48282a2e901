import { detectMesh } from "../../mesh/detect.ts";
import { WEFT_VERSION } from "../../mesh/version.ts";
import { type Command, clusterHelp, clusterOptions } from "../command.ts";

export const version: Command = {
  usage: "[flags]",
  summary: "The version of this program, and of the mesh on the cluster",
  options: { ...clusterOptions, client: { type: "boolean" }, short: { type: "boolean" } },
  help: { "--client": "this program only", "--short": "numbers only", ...clusterHelp },

  async run({ flags, terminal, connect }) {
    const line = (what: string, text: string) => terminal.print(flags.is("short") ? text : `${what}: ${text}`);
    line("Client version", WEFT_VERSION);
    if (flags.is("client")) return 0;
    const { client, controlPlaneNamespace } = await connect();
    const state = await detectMesh(client, controlPlaneNamespace);
    line("Server version", state.kind === "absent" ? "none: no mesh is installed" : nameOf(state));
    return 0;
  },
};

function nameOf(state: { kind: "installed" | "other"; version: string; name?: string }): string {
  return state.kind === "other" ? `${state.name} ${state.version}` : state.version;
}
