/** Filters of routes, inbound and outbound (reference 5.1), compiled. */
import type { GrpcRoute_Filter, HttpRoute_Filter } from "../../api/gen/io/linkerd/proxy/outbound.ts";
import type { Refusal } from "../http/failure.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { HeadEdits } from "../http/route-rule.ts";
import { mergeEdits, modifierEdits, rewriteEdits } from "./head-edits.ts";
import { compileGrpcInjector, compileHttpInjector, compileRedirect, type Refuse } from "./refusals.ts";

/** Inbound routes know some of what outbound ones know. */
type WireFilter = HttpRoute_Filter | GrpcRoute_Filter;

export interface CompiledFilters {
  readonly request: HeadEdits | undefined;
  readonly response: HeadEdits | undefined;
  readonly refuse: Refuse | undefined;
}

/**
 * @param prefix that the route's match asks of the path, for replacements of it; undefined: it asks for none
 */
export function compileFilters(filters: readonly WireFilter[], prefix: string | undefined): CompiledFilters {
  let request: HeadEdits | undefined;
  let response: HeadEdits | undefined;
  const refusals: Refuse[] = [];
  for (const { kind } of filters) {
    switch (kind?.$case) {
      case "requestHeaderModifier":
        request = mergeEdits(request, modifierEdits(kind.value));
        break;
      case "responseHeaderModifier":
        response = mergeEdits(response, modifierEdits(kind.value));
        break;
      case "urlRewrite":
        request = mergeEdits(request, rewriteEdits(kind.value, prefix));
        break;
      case "redirect":
        refusals.push(compileRedirect(kind.value, prefix));
        break;
      case "failureInjector":
        refusals.push("code" in kind.value ? compileGrpcInjector(kind.value) : compileHttpInjector(kind.value));
        break;
    }
  }
  return { request, response, refuse: refusals.length === 0 ? undefined : firstOf(refusals) };
}

function firstOf(refusals: readonly Refuse[]): Refuse {
  const [only] = refusals;
  if (only !== undefined && refusals.length === 1) return only;
  return (request: RequestHead): Refusal | undefined => {
    for (const refuse of refusals) {
      const refusal = refuse(request);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  };
}
