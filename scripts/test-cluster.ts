/**
 * `npm run test:cluster`: contract and end-to-end tests on the cluster that KUBECONFIG names. The end-to-end tests install
 * the mesh, and take it off again. Ends with one line: N passed, N failed.
 *
 *   WEFT_TEST_NODE_IMAGE   runs proxies, control plane and demo; default docker.io/library/node:24-slim
 *   WEFT_TEST_INIT_IMAGE   sets the redirect; default localhost/iptables:1 where the nodes have it, otherwise Weft's own default
 *   WEFT_TEST_CLUSTER_COMMAND   program that takes `lose NODE` and `add NODE`: the tests of lost nodes run too
 *
 *   node scripts/test-cluster.ts [file …]   only these end-to-end tests
 */
import { build } from "./build.ts";
import { onPath } from "./support/preflight.ts";
import { close, runTests, sum } from "./support/run-tests.ts";
import { testImages } from "./support/test-images.ts";

const TEST_TIMEOUT_MS = 600_000;

const files = process.argv.slice(2);
const canLoseNodes = process.env["WEFT_TEST_CLUSTER_COMMAND"] !== undefined;
try {
  const env = await testImages();
  console.log(`images: ${Object.values(env).join(", ")}`);
  build();
  const contract =
    files.length > 0
      ? []
      : [
          await runTests({
            title: "contract, on a real API server",
            files: ["test/contract/**/*.test.ts", ...(onPath("kubectl") ? ["test/kubectl/*.test.ts"] : [])],
            env,
            concurrency: 1,
          }),
        ];
  const endToEnd = await runTests({
    title: "end to end, on a cluster",
    files:
      files.length > 0 ? files : ["test/cluster/*.test.ts", ...(canLoseNodes ? ["test/cluster/nodes/*.test.ts"] : [])],
    env,
    concurrency: 1,
    timeoutMs: TEST_TIMEOUT_MS,
  });
  close(sum([...contract, endToEnd]));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  console.error("The tests need a cluster: set KUBECONFIG.");
  close({ passed: 0, failed: 1 });
}
