/** Routes of connections: by SNI, or for all of them (reference 5.1: TlsRoute, OpaqueRoute). */
import type { SniMatch } from "../../api/gen/io/linkerd/proxy/tls_route.ts";
import type { Labels } from "../metrics/series.ts";

export interface TcpChoice<B> {
  readonly backend: B;
  /** Greater than 0. */
  readonly weight: number;
}

export interface TcpRoute<B> {
  /** `route_*`. */
  readonly labels: Labels;
  /** Empty: connections are closed. */
  readonly choices: readonly TcpChoice<B>[];
  readonly weighted: boolean;
}

export interface TcpRouteEntry<B> {
  /** Greater ranks are tried first. */
  readonly rank: number;
  readonly matches: (sni: string | undefined) => boolean;
  readonly route: TcpRoute<B>;
}

export class TcpRoutes<B> {
  readonly #entries: readonly TcpRouteEntry<B>[];

  constructor(entries: readonly TcpRouteEntry<B>[]) {
    this.#entries = entries.toSorted((a, b) => b.rank - a.rank);
  }

  /** @param sni of the client's ClientHello, where there is one. undefined: no route */
  find(sni: string | undefined): TcpRoute<B> | undefined {
    return this.#entries.find(({ matches }) => matches(sni))?.route;
  }

  map<C>(change: (backend: B) => C): TcpRoutes<C> {
    return new TcpRoutes(
      this.#entries.map(({ rank, matches, route }) => {
        const choices = route.choices.map(({ backend, weight }) => ({ backend: change(backend), weight }));
        return { rank, matches, route: { ...route, choices } };
      }),
    );
  }

  /** Each backend once. */
  backends(): Set<B> {
    return new Set(this.#entries.flatMap(({ route }) => route.choices.map(({ backend }) => backend)));
  }
}

function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

/** One entry for each name of a route, or one for every connection. The more labels a name says, the greater its rank. */
export function sniEntries<B>(snis: readonly SniMatch[], route: TcpRoute<B>): TcpRouteEntry<B>[] {
  if (snis.length === 0) return [{ rank: 0, matches: () => true, route }];
  return snis.map(({ match }): TcpRouteEntry<B> => {
    if (match?.$case === "exact") {
      const name = normalize(match.value);
      return { rank: 1_000, matches: (sni) => sni !== undefined && normalize(sni) === name, route };
    }
    if (match?.$case === "suffix") {
      const { reverseLabels } = match.value;
      const ending = `.${reverseLabels.toReversed().join(".").toLowerCase()}`;
      const matches = (sni: string | undefined): boolean => sni !== undefined && normalize(sni).endsWith(ending);
      return { rank: reverseLabels.length, matches, route };
    }
    return { rank: 0, matches: () => false, route };
  });
}
