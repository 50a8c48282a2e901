/**
 * Stands between the editor and the API server and counts connections: proof that nothing is contacted before the user
 * asks, and a way to make a cluster unreachable. Bytes pass as they are; TLS stays between the two ends.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

export interface ApiRelay {
  readonly port: number;
  /** Accepted since the start. */
  connections(): number;
  /** From now on everything is refused, what is open is cut. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  close(): Promise<void>;
}

/** @param server URL of the API server */
export async function startApiRelay(server: string): Promise<ApiRelay> {
  const { hostname, port } = new URL(server);
  const target = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 443) };
  const sockets = new Set<Socket>();
  let accepted = 0;
  let listener: Server | undefined;

  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const listen = (wanted: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const made = createServer((client) => {
        accepted++;
        const upstream = connect(target);
        keep(client);
        keep(upstream);
        client.pipe(upstream).pipe(client);
      });
      made.once("error", reject);
      made.listen(wanted, "127.0.0.1", () => {
        listener = made;
        resolve((made.address() as { port: number }).port);
      });
    });
  const cut = (): Promise<void> =>
    new Promise((resolve) => {
      const closing = listener;
      listener = undefined;
      for (const socket of sockets) socket.destroy();
      if (closing === undefined) resolve();
      else closing.close(() => resolve());
    });

  const own = await listen(0);
  return {
    port: own,
    connections: () => accepted,
    cut,
    mend: async () => {
      await listen(own);
    },
    close: cut,
  };
}
