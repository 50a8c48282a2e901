/** `npm run test:h2spec`: h2spec against everything of ours that takes HTTP/2. Ends with one line: N passed, N failed. */

import { install, onPath } from "./support/preflight.ts";
import { close, runTests } from "./support/run-tests.ts";

const missing = Object.entries({
  ip: "iproute2",
  "iptables-restore": "iptables",
  cc: "gcc",
  nghttpd: "nghttp2-server",
  nghttp: "nghttp2-client",
})
  .filter(([command]) => !onPath(command))
  .map(([, name]) => name);
if (missing.length > 0) install(missing);
close(await runTests({ title: "h2spec", files: ["test/h2spec/*.test.ts"], timeoutMs: 300_000 }));
