/** What comes on a connection of HTTP/2, frame by frame: for ends whose frames are written by hand. */
import type { Socket } from "node:net";
import { FrameParser } from "../../../../runtime/wire/http2/frame-parser.ts";
import { FrameLog } from "../../../unit/wire/http2/support.ts";

export class RawHttp2 {
  readonly #log = new FrameLog();
  readonly #socket: Socket;
  #look: () => void = () => undefined;

  /** @param server the test is: the other end says its preface first */
  constructor(socket: Socket, server = false) {
    this.#socket = socket;
    const parser = new FrameParser(this.#log, { maxHeaderBlockBytes: 65_536, preface: server });
    socket.on("data", (bytes: Buffer) => {
      parser.feed(bytes, 0, bytes.length);
      this.#look();
    });
    socket.on("close", () => this.#look());
  }

  get #said(): string {
    return this.lines
      .slice(-20)
      .map((line) => line.slice(0, 100))
      .join("; ");
  }

  get lines(): readonly string[] {
    return this.#log.lines;
  }

  /** `goaway <last> <code> <reason>`, once it came. */
  get goAway(): string | undefined {
    return this.lines.find((line) => line.startsWith("goaway "));
  }

  /** The next frame that matches. Rejects when the connection ends before, or after `limitMs`. */
  until(wanted: RegExp, limitMs = 5_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        this.#look = () => undefined;
        clearTimeout(timer);
        settle();
      };
      const timer = setTimeout(() => done(() => reject(new Error(`no ${wanted} among ${this.#said}`))), limitMs);
      this.#look = () => {
        const found = this.lines.find((line) => wanted.test(line));
        if (found !== undefined) done(() => resolve(found));
        else if (this.#socket.destroyed) {
          done(() => reject(new Error(`closed without ${wanted}: ${this.#said}`)));
        }
      };
      this.#look();
    });
  }
}
