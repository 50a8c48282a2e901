/** The extension as the host runs it. In test mode its activation hands out what it consists of. */
import assert from "node:assert/strict";
import { extensions } from "vscode";
import type { Weft } from "../../extension/container.ts";
import { EXTENSION_ID } from "../../extension/contributions.ts";

export async function activated(): Promise<Weft> {
  const extension = extensions.getExtension<Weft>(EXTENSION_ID);
  assert.ok(extension, `${EXTENSION_ID} is not here`);
  return await extension.activate();
}
