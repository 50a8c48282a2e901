/** Something a person asked of the mesh cannot be done; the message names the cause, the hint the next step. */
export class MeshError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MeshError";
    this.hint = hint;
  }
}
