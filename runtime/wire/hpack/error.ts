/** A header block that cannot be decoded: both ends' tables have parted, and the connection with them (COMPRESSION_ERROR). */
export class HpackError extends Error {
  constructor(problem: string) {
    super(`header block: ${problem}`);
    this.name = "HpackError";
  }
}
