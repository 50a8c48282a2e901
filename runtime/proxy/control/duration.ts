import type { Duration } from "../../api/gen/google/protobuf/duration.ts";

/** @returns milliseconds, or undefined where there is none */
export function durationMs(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}

export function durationOfMs(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((milliseconds - seconds * 1_000) * 1e6) };
}
