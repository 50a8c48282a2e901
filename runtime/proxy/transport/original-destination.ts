import { createRequire } from "node:module";
import type { Address } from "./stream.ts";

/** Where a redirected connection was going; undefined where the kernel knows of no redirect. `fd` is the accepted socket's. */
export type OriginalDestination = (fd: number) => Address | undefined;

/** getsockopt(SO_ORIGINAL_DST) into `out`: 4 or 16 bytes of address, then the port, big-endian. Returns the address's length or a negative errno. */
type Native = (fd: number, out: Uint8Array) => number;

/** What the addon can do. */
export interface NativeAddon {
  readonly originalDestination: OriginalDestination;
  /** Collects all garbage at once and gives free memory back to the kernel; false where this Node does not let it. */
  readonly collectGarbage: () => boolean;
  /** TCP_USER_TIMEOUT. @returns 0 or a negative errno */
  readonly setUserTimeout: (fd: number, milliseconds: number) => number;
}

/** For a process without redirect (tests, other systems): every connection goes where it was accepted. */
export const noOriginalDestination: OriginalDestination = () => undefined;

/**
 * Loads the native addon. @param addonPath absolute
 * @throws Error where the file is no addon for this machine
 */
export function loadAddon(addonPath: string): NativeAddon {
  // From its own path: import.meta.url would put the build machine's folders into the bundle.
  const addon = createRequire(addonPath)(addonPath) as {
    originalDestination: Native;
    collectGarbage: () => boolean;
    setUserTimeout: (fd: number, milliseconds: number) => number;
  };
  return {
    originalDestination: originalDestinationOf(addon.originalDestination),
    collectGarbage: addon.collectGarbage,
    setUserTimeout: addon.setUserTimeout,
  };
}

/** The addon's first part alone. @throws as {@link loadAddon} */
export function loadOriginalDestination(addonPath: string): OriginalDestination {
  return loadAddon(addonPath).originalDestination;
}

function originalDestinationOf(native: Native): OriginalDestination {
  const out = Buffer.alloc(18);
  return (fd) => {
    const length = native(fd, out);
    if (length < 0) return undefined;
    const ip = length === 4 ? `${out[0]}.${out[1]}.${out[2]}.${out[3]}` : formatIpv6(out);
    return { ip, port: out.readUInt16BE(length) };
  };
}

/** The canonical form, RFC 5952. */
function formatIpv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
