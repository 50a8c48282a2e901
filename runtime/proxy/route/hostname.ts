/** OUTBOUND_METRICS_HOSTNAME_LABELS: what a route tells of a request is told by the host that it asks for. */
import type { RouteRule } from "../http/route-rule.ts";
import type { OwnWishes } from "./own-wishes.ts";

export function namedRule(rule: RouteRule, hostname: string): RouteRule {
  const series = rule.series?.named?.(hostname);
  return series === undefined ? rule : { ...rule, series };
}

/** What a request asks for, with its name. @param own undefined: nothing else */
export function namedWishes(own: OwnWishes | undefined, hostname: string): OwnWishes {
  return {
    requiredIdentity: own?.requiredIdentity,
    apply: (rule) => namedRule(own === undefined ? rule : own.apply(rule), hostname),
  };
}
