/**
 * Routes of HTTP, compiled: which rule a request falls under, and to which backends it may go. Whatever a backend is to its user:
 * the table only hands it on.
 */
import type { RequestHead } from "../http/request-head.ts";
import type { RouteRule } from "../http/route-rule.ts";
import type { CompiledMatch } from "./match.ts";
import { compareRanks } from "./match.ts";
import type { Refuse } from "./refusals.ts";

/** One backend of a rule. `rule` is the rule's, with what this backend's own filters add. */
export interface RouteChoice<B> {
  readonly backend: B;
  /** Greater than 0. */
  readonly weight: number;
  readonly rule: RouteRule;
  readonly refuse: Refuse | undefined;
}

export interface Route<B> {
  readonly refuse: Refuse | undefined;
  /** Empty: the rule has none, and requests fail. */
  readonly choices: readonly RouteChoice<B>[];
  /** By weight, among those that are available; else the first available. */
  readonly weighted: boolean;
  /** Whether l5d-request-timeout, l5d-retry-… of requests are obeyed. */
  readonly overridable: boolean;
}

export interface RouteEntry<B> {
  readonly match: CompiledMatch;
  readonly route: Route<B>;
}

export class RouteTable<B> {
  /** All requests are this one's, and it has one backend: nothing of a request need be looked at. */
  readonly plain: RouteChoice<B> | undefined;
  readonly #entries: readonly RouteEntry<B>[];
  readonly #tests: readonly CompiledMatch["test"][];
  readonly #routes: readonly Route<B>[];

  constructor(entries: readonly RouteEntry<B>[]) {
    const ordered = entries.toSorted((a, b) => compareRanks(a.match.rank, b.match.rank));
    this.#entries = ordered;
    this.#tests = ordered.map(({ match }) => match.test);
    this.#routes = ordered.map(({ route }) => route);
    const [first] = ordered;
    this.plain = first?.match.everything ? plainChoice(first.route) : undefined;
  }

  /** undefined: no route. */
  find(request: RequestHead): Route<B> | undefined {
    const tests = this.#tests;
    for (let index = 0; index < tests.length; index++) {
      if ((tests[index] as CompiledMatch["test"])(request)) return this.#routes[index];
    }
    return undefined;
  }

  /** The same routes to what `change` makes of each backend. */
  map<C>(change: (backend: B) => C): RouteTable<C> {
    const routes = new Map<Route<B>, Route<C>>();
    const changed = (route: Route<B>): Route<C> => {
      const known = routes.get(route);
      if (known !== undefined) return known;
      const choices = route.choices.map((choice) => ({ ...choice, backend: change(choice.backend) }));
      const made = { ...route, choices };
      routes.set(route, made);
      return made;
    };
    return new RouteTable(this.#entries.map(({ match, route }) => ({ match, route: changed(route) })));
  }

  /** Each backend once. */
  backends(): Set<B> {
    return new Set(this.#routes.flatMap(({ choices }) => choices.map(({ backend }) => backend)));
  }
}

function plainChoice<B>({ refuse, choices, overridable }: Route<B>): RouteChoice<B> | undefined {
  const [only, ...more] = choices;
  if (only === undefined || more.length > 0 || refuse !== undefined || only.refuse !== undefined || overridable)
    return undefined;
  return only;
}

/**
 * Tries backends in the order that the rule says until one can take the request now.
 * @param take undefined: it cannot
 * @returns what was taken; else the choice to wait for
 */
export function distribute<C extends { readonly weight: number }, T>(
  { choices, weighted }: { readonly choices: readonly C[]; readonly weighted: boolean },
  take: (choice: C) => T | undefined,
  random: () => number = Math.random,
): { choice: C; taken: T | undefined } | undefined {
  let first: C | undefined;
  const left = [...choices];
  while (left.length > 0) {
    const index = weighted ? pickIndex(left, random()) : 0;
    const [choice] = left.splice(index, 1) as [C];
    first ??= choice;
    const taken = take(choice);
    if (taken !== undefined) return { choice, taken };
  }
  return first === undefined ? undefined : { choice: first, taken: undefined };
}

function pickIndex(choices: readonly { readonly weight: number }[], at: number): number {
  let left = at * choices.reduce((sum, { weight }) => sum + weight, 0);
  for (let index = 0; index < choices.length; index++) {
    left -= (choices[index] as { weight: number }).weight;
    if (left < 0) return index;
  }
  return choices.length - 1;
}
