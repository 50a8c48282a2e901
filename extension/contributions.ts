/** The ids that package.json contributes: a unit test holds both to each other. */

export const EXTENSION_ID = "weft.weft";

export const command = {
  connect: "weft.cluster.connect",
  chooseCluster: "weft.cluster.choose",
  disconnect: "weft.cluster.disconnect",
  installMesh: "weft.mesh.install",
  uninstallMesh: "weft.mesh.uninstall",
  inject: "weft.workload.inject",
  uninject: "weft.workload.uninject",
  tap: "weft.tap.open",
  runChecks: "weft.checks.run",
  installDemo: "weft.demo.install",
  removeDemo: "weft.demo.remove",
  refresh: "weft.view.refresh",
  setWindow: "weft.window.choose",
  showLog: "weft.log.show",
  showMenu: "weft.menu.show",
  copyIdentity: "weft.identity.copy",
  copyName: "weft.name.copy",
  showKubeconfig: "weft.kubeconfig.show",
} as const;

export type CommandId = (typeof command)[keyof typeof command];

export const view = {
  services: "weft.services",
  workloads: "weft.workloads",
  checks: "weft.checks",
} as const;

export const viewContainer = "weft";

/** What `when` clauses read. */
export const contextKey = {
  /** One of {@link SITUATIONS}. */
  situation: "weft.situation",
  /** Whether *Connect* knows which context it would take. */
  hasCandidate: "weft.hasCandidate",
} as const;

/** What the user sees, one welcome view each where there is nothing else to show. */
export const SITUATIONS = [
  "no-cluster",
  "no-kubeconfig",
  "connecting",
  "unreachable",
  "unauthorized",
  "no-rights",
  "no-mesh",
  "other-mesh",
  "not-ready",
  "ready",
] as const;

export type Situation = (typeof SITUATIONS)[number];

export const setting = {
  kubeconfig: "kubeconfig",
  extraPath: "credentials.extraPath",
  namespaces: "namespaces",
  window: "window",
  controlPlaneNamespace: "controlPlane.namespace",
  nodeImage: "images.node",
  initImage: "images.init",
  tapMaxRps: "tap.maxRequestsPerSecond",
  tapRows: "tap.rows",
} as const;

export const SETTINGS_SECTION = "weft";

/** What a tree item's `contextValue` may be; menus match it. */
export const itemContext = {
  namespace: "namespace",
  service: "service",
  workload: "workload",
  pod: "pod",
  caller: "caller",
  identity: "identity",
  check: "check",
} as const;

export const webviewType = { tap: "weft.tap", plan: "weft.plan" } as const;
