/** A container's output: one file a run, the present and the one before kept, emptied when large. Tail, follow, limit. */
import { watch } from "node:fs";
import { mkdir, open, readdir, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const CHUNK = 64 * 1024;
/** As the kubelet's containerLogMaxSize; `kubectl logs` shows there too only what came after the last rotation. */
const LARGEST = 10 * 1024 * 1024;
/** Where the file's watch tells nothing (some file systems), it is looked at this often. */
const LOOK_MS = 500;

export interface ReadLogOptions {
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Goes on until this resolves; absent: until the file's present end. */
  readonly follow?: { readonly ended: Promise<unknown>; readonly signal: AbortSignal };
}

export class ContainerLog {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns the file for a run, the first being 0; older than the one before are removed */
  async begin(run: number): Promise<string> {
    await mkdir(this.#folder, { recursive: true });
    for (const name of await readdir(this.#folder)) {
      if (Number.parseInt(name, 10) < run - 1) await rm(join(this.#folder, name), { force: true });
    }
    return this.path(run);
  }

  path(run: number): string {
    return join(this.#folder, `${run}.log`);
  }

  /** Empties a run's file when it has grown too large; its program goes on appending to it. */
  async trim(run: number): Promise<void> {
    const size = await stat(this.path(run)).then(
      (found) => found.size,
      () => 0,
    );
    if (size > LARGEST) await truncate(this.path(run));
  }

  /** The end of a run's output: what the kubelet takes as message of a failed container (80 lines, 2048 bytes). */
  async tail(run: number): Promise<string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.read(run, { tailLines: 80 })) chunks.push(chunk);
    return Buffer.concat(chunks).subarray(-2048).toString("utf8");
  }

  /** Nothing where the run has no file yet. */
  async *read(run: number, options: ReadLogOptions = {}): AsyncGenerator<Uint8Array> {
    const path = this.path(run);
    const file = await open(path, "r").catch(() => undefined);
    if (file === undefined) return;
    let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
    const { follow } = options;
    const ended = new AbortController();
    void follow?.ended.then(() => ended.abort());
    try {
      let position = options.tailLines === undefined ? 0 : await tailPosition(file, options.tailLines);
      while (left > 0 && follow?.signal.aborted !== true) {
        // Read once more after the end: the last lines may have come in between.
        const last = ended.signal.aborted || follow === undefined;
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, position);
        if (bytesRead > 0) {
          const chunk = buffer.subarray(0, Math.min(bytesRead, left));
          position += chunk.length;
          left -= chunk.length;
          yield chunk;
        } else if (last) {
          return;
        } else if ((await file.stat()).size < position) {
          // It was emptied meanwhile.
          position = 0;
        } else {
          await nextChange(path, AbortSignal.any([ended.signal, follow.signal]));
        }
      }
    } finally {
      await file.close();
    }
  }
}

/** Where the last `lines` lines begin. */
async function tailPosition(file: Awaited<ReturnType<typeof open>>, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines <= 0) return size;
  let missing = lines;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(end - start), 0, end - start, start);
    for (let index = bytesRead - 1; index >= 0; index--) {
      // The line feed that ends the file ends its last line.
      if (buffer[index] === 0x0a && start + index !== size - 1 && --missing === 0) return start + index + 1;
    }
    end = start;
  }
  return 0;
}

/** Resolves when the file has changed, after a look's time, or when `signal` aborts. */
async function nextChange(path: string, signal: AbortSignal): Promise<void> {
  const changed = new AbortController();
  const watcher = watch(path, { signal: changed.signal }, () => changed.abort());
  watcher.on("error", () => {});
  await sleep(LOOK_MS, undefined, { signal: AbortSignal.any([changed.signal, signal]) }).catch(() => {});
  changed.abort();
}
