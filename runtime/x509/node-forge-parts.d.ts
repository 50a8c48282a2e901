/** node-forge's parts, imported one by one: the whole library is 290 kB of algorithms that node:crypto has. */
declare module "node-forge/lib/asn1.js" {
  import type { asn1 } from "node-forge";

  const parts: typeof asn1;
  export default parts;
}
