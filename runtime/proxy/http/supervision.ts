/**
 * Time-outs and tries of one exchange after another (reference 9.4, 9.5). One timer for all of them: it stays when an exchange ends in
 * time, and looks for the next deadline when it fires, so that a request that is in time costs no timer.
 */
import type { RetryPolicy, RouteRule, StreamError } from "./route-rule.ts";

/** What is due: another try; the end of this try, or of all. */
export type Due = "retry" | "try" | "request" | "response" | "idle";

/** The label of a route's metrics for what was not in time. */
export const TIMEOUT_ERRORS: Readonly<Record<Due, StreamError>> = {
  retry: "UNKNOWN",
  try: "RESPONSE_HEADERS_TIMEOUT",
  request: "REQUEST_TIMEOUT",
  response: "RESPONSE_STREAM_TIMEOUT",
  idle: "IDLE_TIMEOUT",
};

const NEVER = Number.POSITIVE_INFINITY;

export class Supervision {
  readonly #onDue: (due: Due) => void;
  #rule: RouteRule | undefined;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = NEVER;
  readonly #at: Record<Due, number> = { retry: NEVER, try: NEVER, request: NEVER, response: NEVER, idle: NEVER };
  /** Further ones than the first. */
  #tries = 0;
  /** A try is under way: its head was sent. */
  #sent = false;
  #requestDone = false;
  /** The head of the answer that counts is here. */
  #answered = false;

  constructor(onDue: (due: Due) => void) {
    this.#onDue = onDue;
  }

  /** A request with a rule that has time-outs or retries. @param now monotonic, as all times here */
  begin(rule: RouteRule, now: number): void {
    this.end();
    this.#rule = rule;
    this.#tries = 0;
    this.#sent = false;
    this.#requestDone = false;
    this.#answered = false;
    const { requestMs = NEVER, idleMs = NEVER } = rule.timeouts ?? {};
    this.#at.request = now + requestMs;
    this.#at.idle = now + idleMs;
    rule.retry?.deposit();
    this.#arm();
  }

  /** A try's head was sent. */
  sent(now: number): void {
    this.#sent = true;
    if (this.#requestDone) this.#awaitAnswer(now);
  }

  /** All of the request is here. */
  requestDone(now: number): void {
    this.#requestDone = true;
    if (this.#sent && !this.#answered) this.#awaitAnswer(now);
  }

  /** From now on it is the server's time. */
  #awaitAnswer(now: number): void {
    const { retry, timeouts } = this.#rule ?? {};
    // The last of several tries may take what time is left: nothing would be done instead.
    const last = this.#tries > 0 && this.#tries === retry?.maxRetries;
    this.#at.try = last ? NEVER : now + (retry?.perTryMs ?? NEVER);
    this.#at.response = now + (timeouts?.responseMs ?? NEVER);
    this.#arm();
  }

  /** The head of the answer that counts is here. */
  answered(): void {
    this.#answered = true;
    this.#at.try = NEVER;
    this.moved();
    const responseMs = this.#rule?.timeouts?.responseMs;
    if (responseMs === undefined || this.#at.response !== NEVER) return;
    // It overtook the end of its request.
    this.#at.response = performance.now() + responseMs;
    this.#arm();
  }

  /** The client has a whole answer. */
  whole(status: number): void {
    if (this.#tries === 0 || this.#rule?.retry?.retriesOn(status, undefined) !== false) return;
    this.#rule.series?.retried("success");
  }

  /** Bytes, in either direction. */
  moved(): void {
    const idleMs = this.#rule?.timeouts?.idleMs;
    if (idleMs !== undefined) this.#at.idle = performance.now() + idleMs;
  }

  /** @returns whether another try may be made, which is counted then. undefined: the rule knows of none */
  mayRetry(): RetryPolicy | undefined {
    const retry = this.#rule?.retry;
    const series = this.#rule?.series;
    if (retry === undefined) return undefined;
    if (this.#tries >= retry.maxRetries) {
      series?.retried("limit");
      return undefined;
    }
    if (!retry.withdraw()) {
      series?.retried("overflow");
      return undefined;
    }
    this.#tries++;
    series?.retried("retry");
    return retry;
  }

  /** Waits before the next try, which `retry` is due for then. */
  backOff(retry: RetryPolicy): void {
    this.#sent = false;
    this.#at.try = NEVER;
    this.#at.response = NEVER;
    this.#at.retry = performance.now() + retry.backoffMs(this.#tries);
    this.#arm();
  }

  /** The exchange is over. */
  end(): void {
    if (this.#rule === undefined) return;
    this.#rule = undefined;
    for (const due of Object.keys(this.#at) as Due[]) this.#at[due] = NEVER;
  }

  /** There will be no more. */
  close(): void {
    this.end();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #next(): Due {
    let next: Due = "retry";
    for (const due of Object.keys(this.#at) as Due[]) if (this.#at[due] < this.#at[next]) next = due;
    return next;
  }

  #arm(): void {
    const at = this.#at[this.#next()];
    if (at === NEVER || (this.#timer !== undefined && this.#firesAt <= at)) return;
    clearTimeout(this.#timer);
    this.#firesAt = at;
    this.#timer = setTimeout(this.#fire, Math.max(0, Math.ceil(at - performance.now())));
  }

  readonly #fire = (): void => {
    this.#timer = undefined;
    const due = this.#next();
    if (this.#at[due] > performance.now()) {
      this.#arm();
      return;
    }
    this.#at[due] = NEVER;
    this.#arm();
    this.#onDue(due);
  };
}
