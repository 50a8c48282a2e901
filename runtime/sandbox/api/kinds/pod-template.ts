/** Defaults of pod specs, alone and in templates (core/v1 SetDefaults_*), as far as something here reads them. */
import { type Fields, fieldsAt, isFields, listAt } from "../object.ts";

/** Sets a field that is absent. */
export function setDefault(target: Fields, name: string, value: unknown): void {
  if (target[name] === undefined) target[name] = value;
}

export function defaultPodSpec(spec: Fields): void {
  setDefault(spec, "restartPolicy", "Always");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "dnsPolicy", "ClusterFirst");
  setDefault(spec, "securityContext", {});
  setDefault(spec, "schedulerName", "default-scheduler");
  if (spec["serviceAccountName"] === undefined && spec["serviceAccount"] !== undefined) {
    spec["serviceAccountName"] = spec["serviceAccount"];
  }
  if (spec["serviceAccountName"] !== undefined) spec["serviceAccount"] = spec["serviceAccountName"];
  for (const container of [...listAt(spec, "initContainers"), ...listAt(spec, "containers")]) {
    defaultContainer(container, spec["hostNetwork"] === true);
  }
  for (const volume of listAt(spec, "volumes")) defaultVolume(volume);
}

/** Of pods alone, not of templates: what is limited is requested. */
export function defaultRequests(spec: Fields): void {
  for (const container of [...listAt(spec, "initContainers"), ...listAt(spec, "containers")]) {
    const resources = fieldsAt(container, "resources");
    const limits = fieldsAt(resources, "limits");
    if (Object.keys(limits).length > 0) resources["requests"] = { ...limits, ...fieldsAt(resources, "requests") };
  }
}

function defaultContainer(container: Fields, hostNetwork: boolean): void {
  setDefault(container, "resources", {});
  setDefault(container, "terminationMessagePath", "/dev/termination-log");
  setDefault(container, "terminationMessagePolicy", "File");
  if (typeof container["image"] === "string") {
    setDefault(container, "imagePullPolicy", isLatest(container["image"]) ? "Always" : "IfNotPresent");
  }
  for (const port of listAt(container, "ports")) {
    setDefault(port, "protocol", "TCP");
    if (hostNetwork) setDefault(port, "hostPort", port["containerPort"]);
  }
  for (const variable of listAt(container, "env")) {
    const fieldRef = fieldsAt(variable, "valueFrom")["fieldRef"];
    if (isFields(fieldRef)) setDefault(fieldRef, "apiVersion", "v1");
  }
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = container[name];
    if (isFields(probe)) defaultProbe(probe);
  }
  for (const hook of Object.values(fieldsAt(container, "lifecycle"))) defaultHttpGet(fieldsAt(hook)["httpGet"]);
}

function defaultProbe(probe: Fields): void {
  setDefault(probe, "timeoutSeconds", 1);
  setDefault(probe, "periodSeconds", 10);
  setDefault(probe, "successThreshold", 1);
  setDefault(probe, "failureThreshold", 3);
  defaultHttpGet(probe["httpGet"]);
  if (isFields(probe["grpc"])) setDefault(probe["grpc"], "service", "");
}

function defaultHttpGet(action: unknown): void {
  if (!isFields(action)) return;
  setDefault(action, "path", "/");
  setDefault(action, "scheme", "HTTP");
}

function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const tag = /:([^:/]+)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest";
}

const SOURCES = ["configMap", "secret", "downwardAPI", "projected"];

function defaultVolume(volume: Fields): void {
  if (Object.keys(volume).every((key) => key === "name")) volume["emptyDir"] = {};
  for (const source of SOURCES) {
    const fields = volume[source];
    if (isFields(fields)) setDefault(fields, "defaultMode", 0o644);
  }
  const files = [volume, ...listAt(volume, "projected", "sources")].flatMap((source) =>
    listAt(source, "downwardAPI", "items"),
  );
  for (const file of files) {
    if (isFields(file["fieldRef"])) setDefault(file["fieldRef"], "apiVersion", "v1");
  }
  for (const source of listAt(volume, "projected", "sources")) {
    const token = source["serviceAccountToken"];
    if (isFields(token)) setDefault(token, "expirationSeconds", 3600);
  }
  const hostPath = volume["hostPath"];
  if (isFields(hostPath)) setDefault(hostPath, "type", "");
}
