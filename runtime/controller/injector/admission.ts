/** The webhook's answer to an AdmissionReview (admission.k8s.io/v1). */
import type { MeshConfig } from "../../model/mesh-config.ts";
import { type Log, messageOf } from "../config/log.ts";
import type { Counter } from "../front/metrics.ts";
import { decide, skipReasons } from "./decision.ts";
import type { WorkloadEvents } from "./events.ts";
import type { NamespaceFiles } from "./namespace-files.ts";
import type { OwnerResolver } from "./owner.ts";
import { injectionPatch } from "./patch.ts";
import { type Annotations, describePod, type Pod } from "./pod.ts";

export interface AdmissionRequest {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  /** The pod's own metadata may not name it. */
  readonly namespace: string;
  readonly operation: string;
  readonly dryRun?: boolean;
  readonly object: unknown;
}

export interface AdmissionReview {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request?: AdmissionRequest;
}

export interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: { readonly code: number; readonly message: string };
  readonly patchType?: "JSONPatch";
  /** base64 */
  readonly patch?: string;
  readonly warnings?: readonly string[];
}

export interface InjectorOptions {
  readonly mesh: MeshConfig;
  readonly namespace: (name: string) => Promise<{ readonly uid?: string; readonly annotations: Annotations }>;
  readonly trustBundle: () => string | undefined;
  readonly files: Pick<NamespaceFiles, "ensure">;
  readonly owners: Pick<OwnerResolver, "ownerOf">;
  readonly events: Pick<WorkloadEvents, "emit">;
  readonly requests: Counter;
  readonly responses: Counter;
  readonly log: Log;
}

/** Less than the webhook's timeout (10 s): a pod that should have a proxy is refused with the reason, not let through. */
const DEADLINE_MS = 8_000;

export class Injector {
  readonly #options: InjectorOptions;

  constructor(options: InjectorOptions) {
    this.#options = options;
  }

  /** Never rejects: what goes wrong is an answer that refuses the pod and says why (reference 3.2). */
  async review(request: AdmissionRequest): Promise<AdmissionResponse> {
    const { log } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not done within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
    });
    try {
      return await Promise.race([this.#admit(request), deadline]);
    } catch (error) {
      const message = `weft: no proxy can be injected: ${messageOf(error)}`;
      log.error(message, { namespace: request.namespace });
      return { uid: request.uid, allowed: false, status: { code: 500, message } };
    } finally {
      clearTimeout(timer);
    }
  }

  async #admit(request: AdmissionRequest): Promise<AdmissionResponse> {
    const { mesh, log, events, requests, responses } = this.#options;
    const { uid, namespace } = request;
    if (request.kind.group !== "" || request.kind.kind !== "Pod" || request.operation !== "CREATE") {
      responses.add({ namespace, skip: "true", skip_reason: "unsupported_resource" });
      return { uid, allowed: true };
    }
    const pod = request.object as Pod;
    const { uid: namespaceUid, annotations } = await this.#options.namespace(namespace);
    const decision = decide(pod, annotations);
    const labels = { namespace, annotation_at: decision.annotationAt };
    requests.add(labels);

    if (!decision.inject) {
      responses.add({ ...labels, skip: "true", skip_reason: decision.reason });
      log.debug("skipped", { namespace, pod: describePod(pod), reason: decision.reason });
      if (decision.asked && request.dryRun !== true) {
        const owner = await this.#options.owners.ownerOf(namespace, pod.metadata.ownerReferences);
        const message = `no proxy was injected: ${skipReasons[decision.reason]} (${decision.reason})`;
        if (owner !== undefined) events.emit(namespace, owner, "InjectionSkipped", message);
      }
      return { uid, allowed: true };
    }

    const trustBundle = this.#options.trustBundle();
    if (trustBundle === undefined) throw new Error("the mesh has no trust anchors yet");
    const owner = await this.#options.owners.ownerOf(namespace, pod.metadata.ownerReferences);
    // A dry run writes nothing and must still say what would be.
    if (request.dryRun !== true) await this.#options.files.ensure(namespace, namespaceUid);
    const { operations, warnings } = injectionPatch({
      pod,
      namespace,
      namespaceAnnotations: annotations,
      owner,
      ingress: decision.ingress,
      mesh,
      trustBundle,
    });
    responses.add({ ...labels, skip: "false", skip_reason: "" });
    if (request.dryRun !== true) {
      log.info("injected", { namespace, pod: describePod(pod), owner: owner && `${owner.kind}/${owner.name}` });
      if (owner !== undefined) events.emit(namespace, owner, "Injected", ["proxy injected", ...warnings].join("; "));
    }
    return {
      uid,
      allowed: true,
      patchType: "JSONPatch",
      patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
      // The API server passes on warnings of up to 256 characters.
      ...(warnings.length === 0 ? {} : { warnings: warnings.map((warning) => `weft: ${warning}`.slice(0, 250)) }),
    };
  }
}
