/** Pauses before a container runs again: none, then 10 s doubling to 5 minutes (kubelet, flowcontrol.Backoff). */
const FIRST_MS = 10_000;
const CAP_MS = 300_000;
/** A run this long after the last failure forgets them. */
const FORGET_MS = 600_000;

export class RestartBackoff {
  #pauseMs = 0;
  #failedAt = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds of a clock that only grows @returns how long to wait from now on */
  next(now: number): number {
    if (now - this.#failedAt > FORGET_MS) this.#pauseMs = 0;
    const pause = this.#pauseMs;
    this.#failedAt = now;
    this.#pauseMs = pause === 0 ? FIRST_MS : Math.min(pause * 2, CAP_MS);
    return pause;
  }
}
