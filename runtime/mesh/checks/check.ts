/** What a check is: a sentence that should be true, and how to find out (reference 2). */
import { hasStatus } from "../../kube/errors.ts";
import type { KubeClient } from "../../kube/types.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import type { CheckResult } from "../types.ts";

export type Finding =
  | { readonly result: "success" }
  | { readonly result: "warning" | "error" | "skipped"; readonly message: string; readonly hint?: string };

export interface Check {
  readonly description: string;
  /** Nothing after it makes sense where it fails. */
  readonly fatal?: boolean;
  run(context: CheckContext): Promise<Finding>;
}

export interface CheckCategory {
  /** As Linkerd names its own. */
  readonly name: string;
  readonly checks: readonly Check[];
}

/** What checks know; `config` is found by one of them. */
export interface CheckContext {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Only this one's pods, for checks of the data plane. */
  readonly dataPlaneNamespace: string | undefined;
  config: MeshConfig | undefined;
}

export const success: Finding = { result: "success" };

export function warning(message: string, hint?: string): Finding {
  return { result: "warning", message, ...(hint === undefined ? {} : { hint }) };
}

export function failure(message: string, hint?: string): Finding {
  return { result: "error", message, ...(hint === undefined ? {} : { hint }) };
}

export function skipped(message: string): Finding {
  return { result: "skipped", message };
}

/** What may not be read is skipped with its reason, anything else that goes wrong is an error: a check never rejects. */
export async function runCheck(category: string, check: Check, context: CheckContext): Promise<CheckResult> {
  const { description } = check;
  try {
    return { category, description, ...(await check.run(context)) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      category,
      description,
      ...(hasStatus(error, 403) ? skipped(`not yours to see: ${message}`) : failure(message)),
    };
  }
}
