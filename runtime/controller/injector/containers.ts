/** The two containers that make a pod meshed, and their volumes (reference 3.3; ARCHITECTURE.md, "Injected containers"). */
import { BUNDLE_MOUNT, literalArgument, PROXY_NODE_FLAGS } from "../../model/bundle.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { container, IDENTITY_AUDIENCE, proxyBundleName, TRUST_ROOTS, volume } from "../../model/names.ts";
import { portName } from "../../model/ports.ts";
import { REDIRECT_RULES_ANNOTATION } from "../../model/redirect-rules.ts";
import type { EnvVar } from "./pod.ts";
import { IDENTITY_TOKEN_FILE, proxyPath } from "./proxy-env.ts";
import type { ProxySettings } from "./settings.ts";

const RULES_MOUNT = "/weft/redirect";
const RULES_FILE = "rules";

const AWAIT_TIMEOUT_MS = 120_000;

export function initContainer(settings: ProxySettings, mesh: MeshConfig): Record<string, unknown> {
  return {
    name: container.init,
    image: mesh.images.init,
    imagePullPolicy: mesh.images.pullPolicy,
    command: ["iptables-restore", "--noflush", `${RULES_MOUNT}/${RULES_FILE}`],
    resources: settings.resources,
    securityContext: {
      // A public image's binaries carry no file capabilities: only root gets the two that are left.
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: volume.redirectRules, mountPath: RULES_MOUNT, readOnly: true },
      { name: volume.xtablesLock, mountPath: "/run" },
    ],
  };
}

export function proxyContainer(
  env: readonly EnvVar[],
  settings: ProxySettings,
  mesh: MeshConfig,
): Record<string, unknown> {
  const { ports } = settings;
  const get = (path: string): unknown => ({ httpGet: { path, port: ports.admin } });
  const native = settings.nativeSidecar;
  return {
    name: container.proxy,
    image: mesh.images.node,
    imagePullPolicy: mesh.images.pullPolicy,
    command: ["node", ...PROXY_NODE_FLAGS, "-e", literalArgument(mesh.proxy.loader)],
    ...(native ? { restartPolicy: "Always" } : {}),
    env,
    ports: [
      { name: portName.inbound, containerPort: ports.inbound, protocol: "TCP" },
      { name: portName.admin, containerPort: ports.admin, protocol: "TCP" },
    ],
    ...(native && settings.await
      ? { startupProbe: { ...(get("/ready") as object), periodSeconds: 1, failureThreshold: 120, timeoutSeconds: 1 } }
      : {}),
    livenessProbe: { ...(get("/live") as object), initialDelaySeconds: 10, timeoutSeconds: 1 },
    readinessProbe: { ...(get("/ready") as object), initialDelaySeconds: 2, timeoutSeconds: 1 },
    ...(native ? {} : lifecycle(settings)),
    resources: settings.resources,
    securityContext: {
      runAsUser: settings.uid,
      ...(settings.gid === undefined ? {} : { runAsGroup: settings.gid }),
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: volume.bundle, mountPath: BUNDLE_MOUNT, readOnly: true },
      { name: volume.scratch, mountPath: proxyPath.scratch },
      { name: volume.trustRoots, mountPath: proxyPath.trustRoots, readOnly: true },
      { name: volume.identityToken, mountPath: proxyPath.token, readOnly: true },
    ],
  };
}

export function volumes(mesh: MeshConfig): Record<string, unknown>[] {
  return [
    { name: volume.bundle, configMap: { name: proxyBundleName(mesh.proxy.hash) } },
    // On disk: a tmpfs would be charged to the container, page by page, for as long as it lives.
    { name: volume.scratch, emptyDir: { sizeLimit: "4Mi" } },
    { name: volume.trustRoots, configMap: { name: TRUST_ROOTS.configMap } },
    {
      name: volume.identityToken,
      projected: {
        sources: [
          {
            serviceAccountToken: { audience: IDENTITY_AUDIENCE, expirationSeconds: 86_400, path: IDENTITY_TOKEN_FILE },
          },
        ],
      },
    },
    {
      name: volume.redirectRules,
      downwardAPI: {
        items: [{ path: RULES_FILE, fieldRef: { fieldPath: `metadata.annotations['${REDIRECT_RULES_ANNOTATION}']` } }],
      },
    },
    { name: volume.xtablesLock, emptyDir: {} },
  ];
}

/** A container that is no sidecar starts beside the others: its hooks make them wait, at the start and at the end. */
function lifecycle(settings: ProxySettings): Record<string, unknown> {
  const hooks: Record<string, unknown> = {};
  if (settings.await) hooks["postStart"] = { exec: { command: ["node", "-e", awaitReady(settings.ports.admin)] } };
  if (settings.waitBeforeExitSeconds > 0) {
    hooks["preStop"] = {
      exec: { command: ["node", "-e", `setTimeout(() => {}, ${settings.waitBeforeExitSeconds * 1000})`] },
    };
  }
  return Object.keys(hooks).length === 0 ? {} : { lifecycle: hooks };
}

/** Ends with 0 once the proxy is ready, with 1 after two minutes: what linkerd-await does. */
function awaitReady(adminPort: number): string {
  return [
    `const end = Date.now() + ${AWAIT_TIMEOUT_MS};`,
    `const again = () => (Date.now() > end ? process.exit(1) : setTimeout(ask, 100));`,
    `const ask = () => require("node:http").get({ host: "127.0.0.1", port: ${adminPort}, path: "/ready" }, (answer) =>`,
    `  answer.resume().statusCode === 200 ? process.exit(0) : again()).on("error", again);`,
    "ask();",
  ].join("\n");
}
