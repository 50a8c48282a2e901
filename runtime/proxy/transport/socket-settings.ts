/** How the kernel finds out that a peer is gone without a word (reference 4.4, 4.5: *_KEEPALIVE, *_USER_TIMEOUT). */
export interface Liveness {
  /** SO_KEEPALIVE: a connection silent for so long is probed each second, ten times. Milliseconds; 0 or absent: never. */
  readonly keepAliveMs?: number;
  /** TCP_USER_TIMEOUT: sent bytes may stay unacknowledged for so long. Milliseconds; 0 or absent: the kernel's own limit. */
  readonly userTimeoutMs?: number;
}

export interface SocketSettings {
  /** Set on the listening socket: Linux hands both on to what it accepts, at no cost a connection. */
  readonly accept?: Liveness;
  readonly connect?: Liveness;
  /** The addon's; without it user time-outs are the kernel's own. @returns 0 or a negative errno */
  readonly setUserTimeout?: ((fd: number, milliseconds: number) => number) | undefined;
}

/** TCP_KEEPIDLE counts seconds. @returns 0: off */
export function keepAliveSeconds(liveness: Liveness | undefined): number {
  return Math.ceil((liveness?.keepAliveMs ?? 0) / 1_000);
}

export function applyUserTimeout(
  settings: SocketSettings,
  liveness: Liveness | undefined,
  fd: number | undefined,
): void {
  const milliseconds = liveness?.userTimeoutMs ?? 0;
  if (milliseconds > 0 && fd !== undefined && fd >= 0) settings.setUserTimeout?.(fd, milliseconds);
}
