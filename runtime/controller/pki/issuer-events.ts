/** Tells of the issuer's fortunes on the control plane's Deployment, where people look first (reference 5.4). */
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import { CONTROLLER_SERVICE_ACCOUNT } from "../../model/identity.ts";
import { type Log, messageOf } from "../config/log.ts";
import type { EventReason, WorkloadEvents } from "../injector/events.ts";
import type { LeaderLease } from "../lease/leader-lease.ts";
import type { LivePki } from "./live-pki.ts";

/** The Deployment is named as its service account. */
const DEPLOYMENT = CONTROLLER_SERVICE_ACCOUNT;

export interface IssuerEventOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly pki: Pick<LivePki, "issuer" | "onChange" | "onFault">;
  /** Every replica sees the same; its holder speaks for all. */
  readonly lease: Pick<LeaderLease, "holding">;
  readonly events: Pick<WorkloadEvents, "emit">;
  readonly log: Log;
}

/** @returns stop */
export function reportIssuer(options: IssuerEventOptions): () => void {
  const { client, namespace, pki, lease, events, log } = options;
  let known = pki.issuer?.authority.certificate.fingerprint256;

  const tell = async (reason: EventReason, message: string): Promise<void> => {
    if (!lease.holding) return;
    try {
      const { metadata } = await client.get<KubeObject>(resource.deployments, DEPLOYMENT, namespace);
      const owner = { apiVersion: "apps/v1", kind: "Deployment", name: DEPLOYMENT, uid: metadata.uid ?? "" };
      events.emit(namespace, owner, reason, message);
    } catch (error) {
      log.debug("event not written", { event: reason, reason: messageOf(error) });
    }
  };

  const stopChanges = pki.onChange((part) => {
    const { issuer } = pki;
    const current = issuer?.authority.certificate.fingerprint256;
    if (part !== "issuer" || issuer === undefined || current === known) return;
    known = current;
    void tell("IssuerUpdated", `leaves are signed by a new issuer, valid until ${issuer.notAfter.toISOString()}`);
  });
  const stopFaults = pki.onFault((part, message) => {
    if (part === "issuer") void tell("IssuerValidationFailed", `the issuer is not used: ${message}`);
  });
  return () => {
    stopChanges();
    stopFaults();
  };
}
