/** After SIGTERM both containers still serve for so long: endpoints, DNS and kube-proxy take a moment to forget a pod. */
export const LAME_DUCK_MS = 3_000;
