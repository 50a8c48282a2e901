/** Whole sidecars in pods: the proxy's own program, told by its environment, under a control plane that it asks over TLS. */
import type { ChildProcess } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROXY_UID } from "../../../runtime/model/names.ts";
import { port } from "../../../runtime/model/ports.ts";
import { CONTROLLER_IDENTITY } from "../../integration/proxy-control/support/control-plane.ts";
import { type Pod, Pods } from "../../integration/proxy-data-plane/support/pods.ts";
import type { PlaneScript, PlaneService, PlaneStarted } from "./plane.ts";

export interface SidecarPorts {
  readonly inbound: number;
  readonly outbound: number;
  readonly admin: number;
  readonly tap: number;
}

export const USUAL_PORTS: SidecarPorts = {
  inbound: port.inbound,
  outbound: port.outbound,
  admin: port.admin,
  tap: port.control,
};

export const identityOf = (name: string): string => `${name}.judges.serviceaccount.identity.weft.cluster.local`;

const READY = ["-sf", "--retry", "100", "--retry-delay", "0", "--retry-max-time", "15", "--retry-all-errors"];
const P = "LINKERD2_PROXY_";

export class Sidecars {
  readonly pods = new Pods();
  readonly #addon = this.pods.buildAddon();
  readonly #controller = this.pods.add();
  #plane: PlaneStarted | undefined;

  async startPlane(services: readonly PlaneService[]): Promise<void> {
    const argument: PlaneScript = { host: this.#controller.ip, services };
    const { first } = await this.#controller.start<PlaneStarted>(join(import.meta.dirname, "plane.ts"), { argument });
    this.#plane = first;
  }

  /** Resolves when it is ready. @param applications ports of the pod's applications */
  async start(
    name: string,
    pod: Pod,
    applications: readonly number[],
    ports: SidecarPorts = USUAL_PORTS,
  ): Promise<ChildProcess> {
    const script = join(import.meta.dirname, "../../integration/proxy-control/support/proxy-in-pod.ts");
    const environment = this.#environment(name, pod, applications, ports);
    const { child } = await pod.start(script, { uid: PROXY_UID, argument: { environment } });
    await pod.run("curl", [...READY, `http://127.0.0.1:${ports.admin}/ready`]);
    return child;
  }

  remove(): Promise<void> {
    return this.pods.remove();
  }

  #environment(name: string, pod: Pod, applications: readonly number[], ports: SidecarPorts): Record<string, string> {
    const plane = this.#plane;
    if (plane === undefined) throw new Error("the control plane was not started");
    const folder = join(this.pods.folder, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "token"), "a-token");
    writeFileSync(join(folder, "ca-bundle.crt"), plane.anchorsPem);
    chmodSync(folder, 0o755);
    const controller = `${this.#controller.ip}:`;
    return {
      [`${P}IDENTITY_LOCAL_NAME`]: identityOf(name),
      [`${P}IDENTITY_TOKEN_FILE`]: join(folder, "token"),
      [`${P}IDENTITY_SVC_ADDR`]: controller + plane.identity,
      [`${P}IDENTITY_SVC_NAME`]: CONTROLLER_IDENTITY,
      [`${P}DESTINATION_SVC_ADDR`]: controller + plane.services,
      [`${P}DESTINATION_SVC_NAME`]: CONTROLLER_IDENTITY,
      [`${P}POLICY_SVC_ADDR`]: controller + plane.services,
      [`${P}POLICY_SVC_NAME`]: CONTROLLER_IDENTITY,
      [`${P}POLICY_WORKLOAD`]: `{"ns":"judges", "pod":"${name}"}`,
      [`${P}INBOUND_LISTEN_ADDR`]: `0.0.0.0:${ports.inbound}`,
      [`${P}OUTBOUND_LISTEN_ADDR`]: `127.0.0.1:${ports.outbound}`,
      [`${P}ADMIN_LISTEN_ADDR`]: `0.0.0.0:${ports.admin}`,
      [`${P}CONTROL_LISTEN_ADDR`]: `0.0.0.0:${ports.tap}`,
      [`${P}INBOUND_IPS`]: pod.ip,
      [`${P}INBOUND_PORTS`]: applications.join(","),
      [`${P}LOG`]: "error",
      WEFT_TRUST_BUNDLE_FILE: join(folder, "ca-bundle.crt"),
      WEFT_ORIGINAL_DST_ADDON: this.#addon,
    };
  }
}
