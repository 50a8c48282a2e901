/**
 * Two proxies in memory, an application behind the second, a client before the first: once relayed as HTTP/1 all the way, once
 * carried over HTTP/2 between them.
 */

import { Refusal } from "../../../../runtime/proxy/http/failure.ts";
import type { Destination, Http1Upstreams, HttpService } from "../../../../runtime/proxy/http/service.ts";
import { Downstream } from "../../../../runtime/proxy/http1/downstream.ts";
import { UpstreamPool } from "../../../../runtime/proxy/http1/pool.ts";
import { Http1OverHttp2 } from "../../../../runtime/proxy/http2/http1-over-http2.ts";
import { Http2OverHttp1 } from "../../../../runtime/proxy/http2/http2-over-http1.ts";
import { Http2Pool } from "../../../../runtime/proxy/http2/pool.ts";
import { ServerSession } from "../../../../runtime/proxy/http2/server-session.ts";
import type { Http2Upstreams } from "../../../../runtime/proxy/http2/upstreams.ts";
import type { TcpSeries } from "../../../../runtime/proxy/metrics/series.ts";
import { ConnectError, type StreamOwner } from "../../../../runtime/proxy/transport/stream.ts";
import { noHttp2 } from "../http1/no-http2.ts";
import { atRest, PairedStream, type Sizes } from "../transport/stream-pair.ts";

const uncounted: TcpSeries = {
  opened: () => undefined,
  closed: () => undefined,
  read: () => undefined,
  wrote: () => undefined,
};

/** What one exchange came to, at both ends. */
export interface Carried {
  /** What the application got. */
  readonly request: string;
  /** What the client got. */
  readonly response: string;
  readonly clientEnded: boolean;
  readonly clientClosed: PairedStream["closed"];
}

export interface Application {
  /** Called with each connection, which is to be answered on. */
  serve(stream: PairedStream): StreamOwner;
  /** Nobody listens. */
  readonly gone?: boolean;
}

function destination(http1: Http1Upstreams, http2: Http2Upstreams, meshed: boolean): Destination {
  return {
    http1: () => http1,
    http2: () => http2,
    meshed,
    observed: { address: { ip: "10.0.0.9", port: 80 }, labels: [] },
    series: { request: () => undefined, response: () => undefined },
    started: () => undefined,
    answered: () => undefined,
    ended: () => undefined,
  };
}

function service(to: Destination, meshed: boolean, refused: (refusal: Refusal) => void): HttpService {
  return {
    audience: { meshed, informed: true },
    requestLines: Buffer.from(meshed ? "l5d-client-id: somebody\r\n" : ""),
    tcp: uncounted,
    observed: false,
    choose: () => to,
    again: (_destination, _routing, error) => new Refusal("refused", error.message, { undelivered: meshed }),
    refused,
    observe: () => undefined,
    closed: () => undefined,
  };
}

export class TwoProxies {
  /** What the application got, on all connections, in the order of their making. */
  readonly applications: PairedStream[] = [];
  readonly client: PairedStream;
  readonly refusals: Refusal[] = [];
  /** Why the client's proxy was to send a request elsewhere. */
  readonly elsewhere: string[] = [];
  /** Connections that were made between the proxies. */
  between = 0;
  readonly #closing: (() => void)[] = [];
  readonly #sizes: Sizes;
  readonly #service: HttpService;

  constructor(way: "straight" | "carried", application: Application, sizes: Sizes) {
    const refused = (refusal: Refusal): void => void this.refusals.push(refusal);
    const applications = new UpstreamPool({
      tcp: () => uncounted,
      idleMs: 60_000,
      maxIdle: 10,
      connect: async (owner) => {
        if (application.gone === true) throw new ConnectError({ ip: "127.0.0.1", port: 80 }, "ECONNREFUSED");
        const [near, far] = PairedStream.make(sizes);
        near.owner = owner;
        far.owner = application.serve(far);
        this.applications.push(far);
        return near;
      },
    });
    const inbound = service(destination(applications, new Http2OverHttp1(applications), false), true, refused);
    const connect = async (owner: StreamOwner): Promise<PairedStream> => {
      const [near, far] = PairedStream.make(sizes);
      near.owner = owner;
      this.between++;
      const server = way === "straight" ? new Downstream(far, inbound) : new ServerSession(far, inbound);
      this.#closing.push(
        () => server.close(),
        () => near.close(),
      );
      return near;
    };
    const common = { connect, tcp: () => uncounted, idleMs: 60_000 };
    const http1 = new UpstreamPool({ ...common, maxIdle: 10 });
    const http2 = new Http2Pool(common);
    const peers = way === "straight" ? http1 : new Http1OverHttp2(http2);
    this.#sizes = sizes;
    const outbound = service(destination(peers, noHttp2, true), false, refused);
    this.#service = {
      ...outbound,
      again: (failed, routing, error, began) => {
        this.elsewhere.push(error.message);
        return outbound.again(failed, routing, error, began);
      },
    };
    this.client = this.connect();
    this.#closing.push(
      () => http1.close(),
      () => http2.close(),
      () => applications.close(),
    );
  }

  /** Another client. */
  connect(): PairedStream {
    const [client, accepted] = PairedStream.make(this.#sizes);
    const downstream = new Downstream(accepted, this.#service);
    this.#closing.push(() => downstream.close());
    return client;
  }

  async close(): Promise<void> {
    for (const close of this.#closing) close();
    for (const stream of this.applications) stream.close();
    await atRest();
  }
}
