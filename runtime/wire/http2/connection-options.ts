/** What a connection of either role is given. */
import type { Settings } from "./settings.ts";

export interface ConnectionEvents {
  /** Output waits: {@link Http2Connection.flush} it, best once for all of a turn of the event loop. */
  onOutput(): void;
  /** The other end takes no new streams. Those beyond its last have been closed as unprocessed. */
  onGoAway(code: number, reason: string): void;
  onPingAck(): void;
  /** The other end asks for a sign of life, and gets it. */
  onPing?(): void;
  /** The last open stream has ended. */
  onIdle(): void;
  /** The other end's settings came, or changed. */
  onSettings(): void;
  /** Once: no stream is left. With the error that ended it, which a last flush tells the other end. */
  onClose(error: Error | undefined): void;
}

export interface ConnectionOptions {
  readonly events: ConnectionEvents;
  readonly settings: Readonly<Settings>;
  /** What the other end may send on all streams together before it is credited, bytes; 65,535 or more. */
  readonly connectionWindow: number;
  /** What handlers may keep of all streams together before it counts against `connectionWindow`, bytes. Default 0. */
  readonly maxStoredBytes?: number;
  /** A header block as it comes, coded. */
  readonly maxHeaderBlockBytes: number;
  /** Milliseconds; default performance.now. */
  readonly now?: () => number;
}
