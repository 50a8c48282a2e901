/** The objects of the demo: a namespace whose pods are meshed, six agents, their Services, and one client that is not. */
import type { KubeObject } from "../kube/types.ts";
import { annotation, label, WEFT } from "../model/names.ts";

export const DEMO_NAMESPACE = "weft-demo";
/** Services that should show figures and full mTLS once traffic flows. */
export const DEMO_HTTP_SERVICES: readonly string[] = ["gateway", "planner", "search-tool", "calculator-tool"];
export const DEMO_TCP_SERVICES: readonly string[] = ["store"];
/** Deployment without a proxy, 0 replicas until asked: it makes the gateway's mTLS "partial". */
export const DEMO_UNMESHED_CLIENT = "unmeshed-client";

interface AgentSpec {
  /** Name of its Deployment, its Service and its argument. */
  readonly name: string;
  readonly role: string;
  readonly replicas: number;
  readonly port?: { readonly number: number; readonly name: string; readonly http: boolean };
  readonly env?: Readonly<Record<string, string>>;
  readonly meshed?: boolean;
}

const HTTP = { number: 8080, name: "http", http: true };

const AGENTS: readonly AgentSpec[] = [
  { name: "store", role: "store", replicas: 1, port: { number: 7070, name: "memory", http: false } },
  { name: "search-tool", role: "search-tool", replicas: 2, port: HTTP },
  { name: "calculator-tool", role: "calculator-tool", replicas: 1, port: HTTP },
  { name: "planner", role: "planner", replicas: 2, port: HTTP },
  { name: "gateway", role: "gateway", replicas: 1, port: HTTP },
  { name: "load", role: "load", replicas: 1, env: { RATE: "10" } },
  { name: DEMO_UNMESHED_CLIENT, role: "client", replicas: 0, env: { RATE: "2" }, meshed: false },
];

/** @param program text of dist/runtime/demo/main.cjs; `image`: any with node on its PATH */
export function demoObjects(program: string, image: string): KubeObject[] {
  return [
    namespace(),
    programConfigMap(program),
    ...AGENTS.flatMap((agent) => [...service(agent), deployment(agent, image)]),
  ];
}

const partOf = { [label.partOf]: "weft-demo", [label.managedBy]: WEFT };

function namespace(): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: DEMO_NAMESPACE, labels: partOf, annotations: { [annotation.inject]: "enabled" } },
  };
}

function programConfigMap(program: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "agents", namespace: DEMO_NAMESPACE, labels: partOf },
    data: { "main.cjs": program },
  };
}

function service(agent: AgentSpec): KubeObject[] {
  if (agent.port === undefined) return [];
  const { name, number } = agent.port;
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: agent.name, namespace: DEMO_NAMESPACE, labels: partOf },
      spec: { selector: { app: agent.name }, ports: [{ name, port: number, targetPort: number, protocol: "TCP" }] },
    },
  ];
}

function deployment(agent: AgentSpec, image: string): KubeObject {
  const { port } = agent;
  const probe = port?.http
    ? { httpGet: { path: "/healthz", port: port.number }, periodSeconds: 2 }
    : port && { tcpSocket: { port: port.number }, periodSeconds: 2 };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: agent.name, namespace: DEMO_NAMESPACE, labels: { app: agent.name, ...partOf } },
    spec: {
      replicas: agent.replicas,
      selector: { matchLabels: { app: agent.name } },
      template: {
        metadata: {
          labels: { app: agent.name, ...partOf },
          ...(agent.meshed === false ? { annotations: { [annotation.inject]: "disabled" } } : {}),
        },
        spec: {
          terminationGracePeriodSeconds: 20,
          containers: [
            {
              name: "agent",
              image,
              imagePullPolicy: "IfNotPresent",
              command: ["node", "/agents/main.cjs", agent.role],
              env: Object.entries(agent.env ?? {}).map(([name, value]) => ({ name, value })),
              ...(port ? { ports: [{ name: port.name, containerPort: port.number, protocol: "TCP" }] } : {}),
              ...(probe ? { readinessProbe: probe } : {}),
              resources: { requests: { cpu: "10m", memory: "32Mi" } },
              securityContext: {
                runAsNonRoot: true,
                runAsUser: 1000,
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ["ALL"] },
                seccompProfile: { type: "RuntimeDefault" },
              },
              volumeMounts: [{ name: "agents", mountPath: "/agents", readOnly: true }],
            },
          ],
          volumes: [{ name: "agents", configMap: { name: "agents" } }],
        },
      },
    },
  };
}
