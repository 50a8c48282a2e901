/** May this user do that? An aggregated API server has to ask itself: by SubjectAccessReview. */
import { resource, resourcePath } from "../../kube/resources.ts";
import type { KubeClient } from "../../kube/types.ts";
import type { User } from "./request-header.ts";
import { StatusError } from "./status.ts";

/** What is asked for, in RBAC's words. */
export interface AccessAttributes {
  readonly verb: "get" | "list" | "watch";
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly name?: string;
}

interface SubjectAccessReview {
  readonly status?: { readonly allowed?: boolean; readonly reason?: string; readonly evaluationError?: string };
}

/** A yes is remembered this long; a no never, so that a new right works at once. */
const REMEMBER_MS = 5_000;
const MAX_REMEMBERED = 5_000;
const REVIEW_TIMEOUT_MS = 10_000;

export class Access {
  readonly #client: KubeClient;
  readonly #allowed = new Map<string, number>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** @throws StatusError Forbidden where the answer is no, ServiceUnavailable where there is none */
  async require(user: User, attributes: AccessAttributes): Promise<void> {
    const spec = {
      user: user.name,
      groups: user.groups,
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      extra: user.extra,
      resourceAttributes: attributes,
    };
    const key = JSON.stringify(spec);
    const now = performance.now();
    if ((this.#allowed.get(key) ?? 0) > now) return;
    const review = await this.#review(spec);
    if (review.status?.allowed !== true) throw new StatusError("Forbidden", refusal(user, attributes, review));
    this.#remember(key, now);
  }

  async #review(spec: Record<string, unknown>): Promise<SubjectAccessReview> {
    try {
      return await this.#client.json<SubjectAccessReview>({
        method: "POST",
        path: resourcePath(resource.subjectAccessReviews),
        body: { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec },
        timeoutMs: REVIEW_TIMEOUT_MS,
      });
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new StatusError("ServiceUnavailable", `the user's rights cannot be reviewed: ${message}`, { cause });
    }
  }

  #remember(key: string, now: number): void {
    if (this.#allowed.size >= MAX_REMEMBERED) {
      for (const [old, until] of this.#allowed) if (until <= now) this.#allowed.delete(old);
      if (this.#allowed.size >= MAX_REMEMBERED) this.#allowed.clear();
    }
    this.#allowed.set(key, now + REMEMBER_MS);
  }
}

/** In the API server's own words, so that people and programs recognise it. */
function refusal(user: User, attributes: AccessAttributes, review: SubjectAccessReview): string {
  const { verb, group, resource: plural, subresource, namespace, name } = attributes;
  const full = subresource === undefined ? plural : `${plural}/${subresource}`;
  const subject = name === undefined ? `${plural}.${group}` : `${plural}.${group} "${name}"`;
  const scope = namespace === undefined ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const reason = review.status?.reason ?? review.status?.evaluationError;
  return `${subject} is forbidden: User "${user.name}" cannot ${verb} resource "${full}" in API group "${group}" ${scope}${reason === undefined || reason === "" ? "" : `: ${reason}`}`;
}
