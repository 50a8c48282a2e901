/** One request on an HTTP/1 connection and its answer: what is asked, where it went, what was sent of it. Used again for the next. */
import { ExchangeRecord } from "../http/exchange-record.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { Destination } from "../http/service.ts";
import type { Head } from "./head.ts";
import { Held } from "./held.ts";
import type { Upstream } from "./upstream.ts";

export class Exchange extends ExchangeRecord {
  method = "";
  /** The client speaks HTTP/1.0. */
  oldClient = false;
  /** The client's connection ends after it. */
  close = false;
  upgrade = false;
  /** The request, where it may make a tunnel that somebody keeps an eye on. */
  asked: RequestHead | undefined;
  readonly held = new Held();
  upstream: Upstream | undefined;

  start(head: Head): void {
    this.begin(head.grpc);
    this.method = head.method;
    this.oldClient = head.minorVersion === 0;
    this.close = head.close;
    this.upgrade = head.upgrade;
    this.asked = undefined;
  }

  /** The request is about to be sent. */
  engage(destination: Destination, upstream: Upstream): void {
    this.upstream = upstream;
    this.sent(destination);
  }

  /** It has no more to do with its destination. @param reset where it was broken off. @returns its connection */
  part(responseBytes: number, reset?: number): Upstream | undefined {
    const { upstream } = this;
    this.upstream = undefined;
    this.leave({ responseBytes, reset });
    return upstream;
  }
}
