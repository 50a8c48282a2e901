/**
 * `npm run test:judges`: programs of other makers, unchanged, through two of our proxies with mTLS. Installs what Debian has of
 * them where it is missing. Ends with one line: N passed, N failed.
 *
 *   node scripts/test-judges.ts [file …]   only these
 */
import { install, onPath } from "./support/preflight.ts";
import { close, runTests } from "./support/run-tests.ts";

/** Commands, and the packages that have them. */
const NEEDED: Readonly<Record<string, string>> = {
  ip: "iproute2",
  "iptables-restore": "iptables",
  cc: "gcc",
  curl: "curl",
  nginx: "nginx",
  h2load: "nghttp2-client",
  nghttpx: "nghttp2-proxy",
  nghttpd: "nghttp2-server",
  psql: "postgresql",
  pgbench: "postgresql",
  "redis-server": "redis-server",
  "redis-benchmark": "redis-tools",
  mariadbd: "mariadb-server",
  exim4: "exim4-daemon-light",
};
const TEST_TIMEOUT_MS = 120_000;

const missing = Object.entries(NEEDED).filter(([command]) => !onPath(command));
const packages = [...new Set(missing.map(([, name]) => name))];
if (packages.length > 0) {
  console.log(`installing ${packages.join(" ")}`);
  install(packages);
}
const files = process.argv.slice(2);
close(
  await runTests({
    title: "judges",
    files: files.length > 0 ? files : ["test/judges/*.test.ts"],
    timeoutMs: TEST_TIMEOUT_MS,
  }),
);
