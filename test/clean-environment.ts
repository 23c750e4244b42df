// The environment of processes under test: what that of the tests says of a router or an agent must not reach them.

const OURS: ReadonlySet<string> = new Set(["GPU_ROUTER_NODE_ID", "GPU_ROUTER_ADDRESS", "GPU_ROUTER_API_KEY", "GPU_ROUTER_CA", "CONFIG_PATH", "API_HOST", "API_PORT", "NODE_OPTIONS"]);

export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.has(name)));
}
