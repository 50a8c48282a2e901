/** Images that pods of the mesh run by default. Both can be set at install. */

/** Runs proxies and the control plane: any image with Node 24 as `node` on its PATH. */
export const DEFAULT_NODE_IMAGE = "docker.io/library/node:24-slim";

/**
 * Sets a pod's redirect: any image with `iptables-restore` on its PATH. This is the base image of Kubernetes' own kube-proxy
 * (kubernetes/release, images/build/distroless-iptables), which most clusters' nodes have pulled in some version already.
 * The digest of 0.8.7 is the one that two projects pin independently of each other: Azure/kube-egress-gateway
 * (docker/gwdaemon.Dockerfile) and Kuma (tools/releases/dockerfiles/kuma-init.Dockerfile, from the staging registry the release is promoted from).
 */
export const DEFAULT_INIT_IMAGE =
  "registry.k8s.io/build-image/distroless-iptables:v0.8.7@sha256:cdac80d8683f9d8d3aa177383e3a5ab166df91d4e884199023d4a5b088f6015f";
