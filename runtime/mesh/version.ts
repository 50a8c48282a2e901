/** The version that install stamps on what it applies, and that check compares. */
import manifest from "../../package.json" with { type: "json" };

export const WEFT_VERSION: string = manifest.version;
