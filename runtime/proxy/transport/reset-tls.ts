import type { Socket } from "node:net";

/**
 * Destroys a TLS socket so that its peer sees a TCP reset. TLS closes the socket under it as the first step of its own end;
 * resetting that one earlier frees what TLS still uses, and crashes Node.
 */
export function resetTls(tls: Socket, under: Socket): void {
  const { destroy } = under;
  under.destroy = () => {
    under.destroy = destroy;
    return under.destroyed ? under : under.resetAndDestroy();
  };
  tls.destroy();
}
