/** A command that works on a cluster was called before one was chosen. */
export class NeedsClusterError extends Error {
  constructor() {
    super("no cluster is chosen yet");
    this.name = "NeedsClusterError";
  }
}
