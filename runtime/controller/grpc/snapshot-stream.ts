/** A watch whose every message is the whole state: sent again whenever what it was made of has changed it. */
import type { ServerWritableStream } from "@grpc/grpc-js";
import { UpdateStream } from "./update-stream.ts";

export interface Snapshot<T> {
  readonly value: T;
  /** What to follow until the next one. */
  readonly topics: readonly string[];
}

export interface SnapshotOptions<T> {
  /** Where to follow what a snapshot was made of. */
  readonly topics: { subscribe(topic: string, listener: () => void): () => void };
  readonly encode: (value: T) => Uint8Array;
  /** @throws GrpcError to end the stream */
  readonly read: () => Snapshot<T>;
  readonly onOverflow: () => void;
}

export function watchSnapshots<Request, T>(call: ServerWritableStream<Request, T>, options: SnapshotOptions<T>): void {
  const stream = new UpdateStream(call, options.onOverflow);
  const following = new Map<string, () => void>();
  let last: Buffer | undefined;
  const follow = (wanted: readonly string[]): void => {
    for (const [name, stop] of following) {
      if (wanted.includes(name)) continue;
      stop();
      following.delete(name);
    }
    if (stream.ended) return;
    for (const name of wanted) {
      if (!following.has(name)) following.set(name, options.topics.subscribe(name, update));
    }
  };
  const update = (): void => {
    try {
      const { value, topics } = options.read();
      follow(topics);
      const bytes = Buffer.from(options.encode(value));
      if (last?.equals(bytes)) return;
      last = bytes;
      stream.send(value);
    } catch (error) {
      stream.fail(error);
    }
  };
  stream.onEnd(() => follow([]));
  update();
}
