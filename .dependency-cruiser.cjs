// Who may import whom (ARCHITECTURE.md, "Rooms"). `npm run check:rooms` holds the tree to it.
const room = (name) => `^runtime/${name}/`;
/** A rule that forbids `from` every project file outside `allowed`. */
const only = (from, allowed) => ({
  name: `${from}-imports`,
  severity: "error",
  from: { path: room(from) },
  to: { path: "^(extension|runtime|webviews|test|scripts)/", pathNot: [from, ...allowed].map(room) },
});
module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "only-extension-imports-vscode",
      severity: "error",
      from: { pathNot: "^(extension|test/host|test/ui)/" },
      to: { path: "^vscode$" },
    },
    {
      name: "extension-imports-mesh-kube-model",
      severity: "error",
      from: { path: "^extension/" },
      to: { path: "^(runtime|webviews|test|scripts)/", pathNot: ["^runtime/(mesh|kube|api|model)/"] },
    },
    {
      name: "webviews-import-types-only",
      severity: "error",
      from: { path: "^webviews/" },
      to: { path: "^(runtime|extension)/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "nobody-imports-the-extension",
      severity: "error",
      from: { path: "^(runtime|scripts)/" },
      to: { path: "^extension/" },
    },
    {
      name: "proxy-without-grpc-js",
      comment: "it was a third of the bundle and 2 MiB of an idle sidecar; runtime/wire carries the proxy's calls",
      severity: "error",
      from: { path: "^runtime/(proxy|wire)/" },
      to: { path: "@grpc/" },
    },
    only("model", []),
    only("api", ["model"]),
    only("x509", ["model"]),
    only("wire", ["model"]),
    only("prometheus", ["model"]),
    only("kube", ["model"]),
    only("proxy", ["api", "model", "x509", "wire", "prometheus"]),
    only("controller", ["kube", "api", "model", "x509", "wire", "prometheus"]),
    only("mesh", ["kube", "api", "model", "x509", "prometheus"]),
    only("cli", ["mesh", "kube", "model"]),
    only("sandbox", ["kube", "model", "x509"]),
    only("demo", ["model"]),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    exclude: { path: "(^|/)gen/" },
    enhancedResolveOptions: { extensions: [".ts", ".js", ".cjs", ".mjs"] },
  },
};
