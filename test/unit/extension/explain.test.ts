import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { command } from "../../../extension/contributions.ts";
import { explain, oneText } from "../../../extension/errors/explain.ts";
import { NeedsClusterError } from "../../../extension/errors/needs-cluster.ts";
import { KubeConnectionError, KubeError } from "../../../runtime/kube/errors.ts";
import { KubeconfigError } from "../../../runtime/kube/kubeconfig.ts";
import { MeshError } from "../../../runtime/mesh/errors.ts";

describe("an error in the editor", () => {
  const steps = (error: unknown) => explain(error).nextSteps.map((step) => step.command);

  it("of a broken kubeconfig names the file and opens it", () => {
    const error = new KubeconfigError("/home/me/config", "/home/me/config is no valid YAML: bad indentation");
    assert.equal(explain(error).trouble, "kubeconfig");
    assert.match(explain(error).message, /^\/home\/me\/config is no valid YAML/);
    assert.equal(steps(error)[0], command.showKubeconfig);
  });

  it("of a server that cannot be reached can be tried again", () => {
    const error = new KubeConnectionError("https://10.0.0.1:6443", "https://10.0.0.1:6443 refused the connection");
    assert.equal(explain(error).trouble, "unreachable");
    assert.equal(steps(error)[0], command.refresh);
  });

  it("of credentials that do not count says what to do", () => {
    const error = new KubeError({ kind: "Status", code: 401, message: "Unauthorized" });
    assert.equal(explain(error).trouble, "unauthorized");
    assert.match(oneText(explain(error)), /^The cluster does not accept your credentials: Unauthorized\. Log in/);
  });

  it("of missing rights is told from one of the mesh, also where mesh code explained it", () => {
    const cause = new KubeError({ kind: "Status", code: 403, message: "no" });
    assert.equal(explain(cause).trouble, "forbidden");
    assert.equal(explain(new MeshError("you may not see statistics", "Ask.", { cause })).trouble, "forbidden");
    assert.equal(explain(new MeshError("the mesh does not serve")).trouble, "mesh");
  });

  it("has the editor's words where the hint has the terminal's", () => {
    const error = new MeshError("no mesh", "Install it first: weft install.");
    assert.equal(oneText(explain(error)), "No mesh. Install it first: Weft: Install Mesh.");
    assert.equal(steps(error)[0], command.installMesh);
    assert.equal(steps(new MeshError("it does not serve", "Run weft check."))[0], command.runChecks);
  });

  it("of a command without a cluster leads to choosing one", () => {
    assert.deepEqual(steps(new NeedsClusterError()), [command.chooseCluster]);
  });

  it("that nobody foresaw keeps its message", () => {
    assert.equal(explain(new TypeError("x is not a function")).trouble, "unforeseen");
    assert.equal(explain("text").message, "Text.");
  });
});
