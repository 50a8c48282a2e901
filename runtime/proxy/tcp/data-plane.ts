/** Listens, knows every open connection, and lets them end in peace. */
import type { DataPlaneListener } from "../listener.ts";
import type { Accepted, Address, Listener, Transport } from "../transport/stream.ts";

/** A connection that was accepted, whatever became of it. */
export interface Connection {
  /** No more work than what is under way. */
  drain(): void;
  close(): void;
  /** This proxy's certificate was renewed: nothing should last on the old one. */
  renew?(): void;
}

const BACKLOG = 4_096;

export class DataPlane implements DataPlaneListener {
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<Connection>();
  #onEmpty: (() => void) | undefined;
  readonly #cleanUps: (() => void)[] = [];
  draining = false;

  /** @throws Error naming the address where it cannot listen */
  async listen(
    transport: Transport,
    addresses: readonly Address[],
    backlog: number | undefined,
    accept: (connection: Accepted) => void,
  ): Promise<void> {
    try {
      for (const address of addresses) {
        this.#listeners.push(await transport.listen(address, backlog ?? BACKLOG, accept));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get addresses(): readonly Address[] {
    return this.#listeners.map(({ address }) => address);
  }

  readonly openConnections = (): number => this.#connections.size;

  add(connection: Connection): void {
    this.#connections.add(connection);
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  renew(): void {
    for (const connection of this.#connections) connection.renew?.();
  }

  /** Called once, when nothing is open any more or may be. */
  onClose(cleanUp: () => void): void {
    this.#cleanUps.push(cleanUp);
  }

  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    for (const listener of this.#listeners) listener.close();
    for (const connection of [...this.#connections]) connection.drain();
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#onEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.close();
  }

  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const connection of [...this.#connections]) connection.close();
    for (const cleanUp of this.#cleanUps.splice(0)) cleanUp();
  }
}
