/**
 * Bounds of what costs a peer little and us more: frames that carry nothing, and answers that it does not fetch. A stream of
 * real traffic pays for its PINGs and updates; one that does nothing else is closed (RFC 9113, 10.5).
 */
import { errorCode, Http2Error } from "./protocol.ts";

/** Frames without progress that may come at once, and a second. */
const CAPACITY = 2_000;
const PER_SECOND = 500;
/** What a frame with progress makes good. */
const PROGRESS = 8;
/** PING and SETTINGS acknowledgements and RST_STREAMs that wait to be written. */
const MAX_UNFETCHED = 1_000;
/**
 * Requests in excess of answered ones that may be given up at once, or as many as may be open if those are more, and a second: work
 * begun for nobody. All who share a connection may leave at the same time.
 */
const GIVEN_UP_CAPACITY = 500;
const GIVEN_UP_PER_SECOND = 100;

export class FloodGuard {
  readonly #now: () => number;
  readonly #mayGiveUp: number;
  #level = 0;
  #at = 0;
  #unfetched = 0;
  #givenUp = 0;
  #givenUpAt = 0;

  /** @param now milliseconds. @param maxStreams requests that may be open at once */
  constructor(now: () => number, maxStreams: number) {
    this.#now = now;
    this.#mayGiveUp = Math.max(GIVEN_UP_CAPACITY, Number.isFinite(maxStreams) ? maxStreams : 0);
  }

  /** A frame that carries nothing. @throws Http2Error ENHANCE_YOUR_CALM */
  idleFrame(): void {
    if (++this.#level <= CAPACITY) return;
    // Only now the clock is looked at: what passed since the level was last brought down.
    const now = this.#now();
    this.#level = Math.max(0, this.#level - Math.floor(((now - this.#at) / 1_000) * PER_SECOND));
    this.#at = now;
    if (this.#level > CAPACITY) throw new Http2Error(errorCode.enhanceYourCalm, "a flood of frames that carry nothing");
  }

  progress(): void {
    this.#level = Math.max(0, this.#level - PROGRESS);
  }

  /** Something is written only because the peer sent something. @throws Http2Error ENHANCE_YOUR_CALM */
  reply(): void {
    if (++this.#unfetched > MAX_UNFETCHED) {
      throw new Http2Error(errorCode.enhanceYourCalm, `${MAX_UNFETCHED} answers that are not fetched`);
    }
  }

  /** A request of the other end that ended before its answer: by its reset, or by its fault. @throws Http2Error ENHANCE_YOUR_CALM */
  givenUp(): void {
    if (++this.#givenUp <= this.#mayGiveUp) return;
    const now = this.#now();
    this.#givenUp = Math.max(0, this.#givenUp - Math.floor(((now - this.#givenUpAt) / 1_000) * GIVEN_UP_PER_SECOND));
    this.#givenUpAt = now;
    if (this.#givenUp > this.#mayGiveUp) {
      throw new Http2Error(errorCode.enhanceYourCalm, "a flood of requests that are given up");
    }
  }

  /** A request was answered. */
  answered(): void {
    if (this.#givenUp > 0) this.#givenUp--;
  }

  flushed(): void {
    this.#unfetched = 0;
  }
}
