/** The proxy's program in a pod, with the environment that its parent gives; says when it has begun. */
const { environment } = JSON.parse(process.argv[2] ?? "") as { environment: Record<string, string> };
for (const name of Object.keys(process.env)) if (/^(LINKERD2_PROXY|WEFT)_/.test(name)) delete process.env[name];
Object.assign(process.env, environment);
await import("../../../../runtime/proxy/main.ts");
process.send?.("begun");
// Nothing else keeps the channel: the proxy's life is its own.
process.channel?.unref();
