// The configuration of a node agent: one YAML file, two environment variables over it, defaults under it.
// Read by the commands `agent` and `up`. See deploy/agent.example.yaml for every key with its meaning.
// Checks everything that can be checked without touching GPUs, servers or programs.
import { hostname } from "node:os";
import { isAbsolute } from "node:path";
import { z } from "zod";
import { configTrouble } from "./config-trouble.js";
import { readYaml } from "./read-yaml.js";

/** As in `simulated-gpu/gpu-kinds.ts`, which config/ does not import; a test holds the two together. */
const GPU_KINDS = [
  "B200",
  "H200",
  "H100-80GB",
  "A100-80GB",
  "RTX-PRO-6000",
  "A100-40GB",
  "RTX-4090",
  "V100-32GB",
  "V100-16GB",
  "L40S",
  "P100",
  "A10G",
  "T4",
] as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
const PROBE_MODES = ["auto", "nvml", "nvidia-smi", "recorded", "simulated"] as const;
/** The names of the runners that make results up: one for all GPUs, or one for each. No others have them. */
const SIMULATED_RUNNER = /^simulated(-\d+)?$/;

const id = z.string().min(1).max(128);
const ids = z.array(id).max(1024).default([]);
const types = z.array(z.string().regex(/^[a-z][a-z0-9-]{0,63}$/, "a request type: lower-case letters, digits and '-'")).max(64).default([]);
const runnerName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, "1 to 128 letters, digits, '.', '_', '/' or '-', a letter or digit first");
const address = z.string().regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, "expected host:port, such as 127.0.0.1:50051 or [::1]:50051");
const ENVIRONMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const text = z.string().refine((value) => !value.includes("\0"), "no NUL byte allowed");
const path = text.min(1);

const openAiServer = z
  .strictObject({
    name: runnerName,
    base_url: z.string().refine(isPlainHttpUrl, "expected http://host:port/path or https://…, without user, query or fragment, such as http://127.0.0.1:8001/v1"),
    api_key_env: z.string().regex(ENVIRONMENT_NAME, "expected the name of an environment variable, not the key itself").optional(),
    gpu_ids: ids,
    types,
    loads: z.enum(["ollama"]).nullable().default(null),
    discovery_interval_s: z.number().min(0.1).max(3600).default(10),
    inactivity_timeout_s: z.number().min(1).max(300, "at most 300: the HTTP client itself gives up then").default(300),
  })
  .refine(({ loads, gpu_ids: gpuIds }) => loads === null || gpuIds.length === 1, {
    path: ["gpu_ids"],
    message: "one GPU where loads is set: the router places models on GPUs, one server each",
  })
  .transform((server) => ({
    name: server.name,
    baseUrl: server.base_url.replace(/\/+$/, ""),
    apiKeyEnv: server.api_key_env ?? "",
    gpuIds: server.gpu_ids,
    types: server.types,
    loads: server.loads,
    discoveryIntervalMs: server.discovery_interval_s * 1000,
    inactivityTimeoutMs: server.inactivity_timeout_s * 1000,
  }));

const account = z.union([id, z.int().min(0).max(4_294_967_294).transform(String)]);
const runAs = z
  .union([account.transform((user) => ({ user })), z.strictObject({ user: account, group: account.optional(), umask: z.string().regex(/^0?[0-7]{3}$/, 'three octal digits, such as "027"').optional() })])
  .transform(({ user, group = "", umask = "077" }: { user: string; group?: string | undefined; umask?: string | undefined }) => ({ user, group, umask: Number.parseInt(umask, 8) }))
  .nullable();

const limits = z.strictObject({
  cpu_s: z.int().min(0).max(31_536_000).optional(),
  memory_mib: z.int().min(0).max(1 << 30).optional(),
  address_space_mib: z.int().min(0).max(1 << 30).optional(),
  open_files: z.int().min(0).max(1 << 20).optional(),
  processes: z.int().min(0).max(1 << 22).optional(),
  file_size_mib: z.int().min(0).max(1 << 30).optional(),
  niceness: z.int().min(-20).max(19).optional(),
});

const execDefaults = z.strictObject({ run_as: runAs.default(null), limits: limits.default({}) }).prefault({});

const execCommand = z
  .strictObject({
    name: runnerName,
    argv: z.tuple([path], text),
    types,
    cwd: path.refine(isAbsolute, "expected an absolute path").optional(),
    env: z.record(z.string(), text).superRefine(checkVariableNames).default({}),
    gpu_ids: ids,
    kill_grace_s: z.number().min(0).max(600).default(10),
    max_output_bytes: z.int().min(1024).max(64 << 20).default(1 << 20),
    run_as: runAs.optional(),
    limits: limits.default({}),
  })
  .transform((command) => ({
    name: command.name,
    argv: command.argv,
    types: command.types,
    cwd: command.cwd ?? "",
    env: command.env,
    gpuIds: command.gpu_ids,
    killGraceMs: command.kill_grace_s * 1000,
    maxOutputBytes: command.max_output_bytes,
    runAs: command.run_as,
    limits: command.limits,
  }));

const probe = z
  .strictObject({
    mode: z.enum(PROBE_MODES).default("auto"),
    recorded_path: path.optional(),
    nvml_library: path.default("libnvidia-ml.so.1"),
    kernel_log: path.refine((value) => value === "auto" || value === "off" || isAbsolute(value), "expected auto, off, or the absolute path of the kernel's log device").default("auto"),
    simulated: z
      .strictObject({
        gpus: z.int().min(1).max(1024).default(4),
        kind: z.enum(GPU_KINDS).default("A100-80GB"),
        speed: z.number().positive().max(1e6).default(1),
        events_file: path.optional(),
      })
      .prefault({})
      .transform(({ events_file, ...simulated }) => ({ ...simulated, eventsFile: events_file ?? "" })),
  })
  .refine(({ mode, recorded_path }) => (mode === "recorded") === (recorded_path !== undefined), {
    path: ["recorded_path"],
    message: "the captures to replay: needed when probe.mode is recorded, and only then",
  })
  .transform(({ mode, recorded_path, nvml_library, kernel_log, simulated }) => ({ mode, recordedPath: recorded_path ?? "", nvmlLibrary: nvml_library, kernelLog: kernel_log, simulated }));

const simulatedModels = z.strictObject({ models: z.array(z.string().min(1).max(256)).min(1).max(64).refine((names) => new Set(names).size === names.length, "a model is named twice") });

const runners = z
  .strictObject({
    openai: z.array(openAiServer).max(256).default([]),
    exec_defaults: execDefaults,
    exec: z.array(execCommand).max(256).default([]),
    simulated: z.union([z.boolean(), simulatedModels], "expected true, false, or { models: [NAME, …] }").nullable().default(null),
  })
  .superRefine(({ openai, exec }, context) => {
    const seen = new Set<string>();
    for (const [list, entries] of Object.entries({ openai, exec })) {
      entries.forEach(({ name }, index) => {
        const taken = isSimulatedRunner(name);
        const message = `two runners are named "${name}"; every name must be unique on the node${taken ? ", and this one is taken" : ""}`;
        if (taken || seen.has(name)) context.addIssue({ code: "custom", path: [list, index, "name"], message });
        seen.add(name);
      });
    }
  })
  .transform(({ exec_defaults: defaults, exec, ...others }) => ({
    ...others,
    exec: exec.map((command) => ({
      ...command,
      // What a command says of itself goes over what is said for all: an account as a whole, limits one by one.
      runAs: command.runAs === undefined ? defaults.run_as : command.runAs,
      limits: limitsOf({ ...defaults.limits, ...command.limits }),
    })),
  }));

const routerAccess = z
  .strictObject({ key_file: z.string().default(""), ca_file: z.string().default(""), cert_file: z.string().default(""), cert_key_file: z.string().default("") })
  .refine((router) => (router.cert_file === "") === (router.cert_key_file === ""), "cert_file and cert_key_file belong together: give both, or none")
  .refine((router) => router.cert_file === "" || router.ca_file !== "", { path: ["ca_file"], message: "needed with cert_file: certificates come with TLS" })
  .transform((router) => ({ key: "", keyFile: router.key_file, ca: router.ca_file, cert: router.cert_file, certKey: router.cert_key_file }));

const agentConfig = z
  .strictObject({
    node_id: id.optional(),
    router_address: address.default("127.0.0.1:50051"),
    router: routerAccess.prefault({}),
    log_level: z.enum(LOG_LEVELS).default("info"),
    probe: probe.prefault({}),
    runners: runners.prefault({}),
    gpu_restart_command: z.tuple([path], text).nullable().default(null),
    gpu_restart_timeout_s: z.number().min(1).max(3600).default(300),
  })
  .refine((config) => !(config.runners.simulated && ["nvml", "nvidia-smi", "recorded"].includes(config.probe.mode)), {
    path: ["runners", "simulated"],
    message: "it only goes with probe.mode simulated (or auto): it would report made-up results for GPUs that are not simulated",
  })
  .transform((config) => ({
    /** Unique in the fleet; the host's name by default. */
    nodeId: config.node_id ?? hostname(),
    /** host:port of the router. */
    routerAddress: config.router_address,
    /** How the router is shown who this is; "" for none. */
    credentials: config.router,
    logLevel: config.log_level,
    probe: config.probe,
    runners: config.runners,
    /** What restarts a GPU; null when nothing may. */
    restartCommand: config.gpu_restart_command && { argv: config.gpu_restart_command, timeoutMs: config.gpu_restart_timeout_s * 1000 },
  }));

/** A checked configuration with all defaults filled in. Absent texts are "", times are ms. */
export type AgentConfig = z.output<typeof agentConfig>;

/** A configuration that cannot be used; the message names the file, each key, and what is allowed there. */
export class AgentConfigError extends Error {
  override readonly name = "AgentConfigError";
}

/**
 * Reads the file at `path`, or nothing when undefined, with GPU_ROUTER_NODE_ID, GPU_ROUTER_ADDRESS and GPU_ROUTER_API_KEY of `env` over it.
 * Throws AgentConfigError.
 */
export function loadAgentConfig(filePath: string | undefined, env: NodeJS.ProcessEnv): AgentConfig {
  const over = overrides(env);
  const names = Object.keys(over).map((key) => (key === "node_id" ? "GPU_ROUTER_NODE_ID" : "GPU_ROUTER_ADDRESS"));
  const fail = (trouble: string): never => {
    throw new AgentConfigError(`${filePath ?? "the agent's configuration"}: ${trouble}\nSee deploy/agent.example.yaml for every key.`);
  };
  const written = filePath === undefined ? {} : readYaml(filePath, fail);
  const all = { ...written, ...over };
  const parsed = agentConfig.safeParse(all);
  if (!parsed.success) return fail(configTrouble(agentConfig, all, parsed.error, names));
  const keyless = parsed.data.runners.openai.find(({ apiKeyEnv }) => apiKeyEnv !== "" && !env[apiKeyEnv]);
  if (keyless !== undefined) {
    return fail(`runners.openai "${keyless.name}" takes its key from ${keyless.apiKeyEnv}, which is not set. Set it, or remove api_key_env.`);
  }
  return withKey(parsed.data, env);
}

/** The key of the environment goes over the one of a file. */
function withKey(config: AgentConfig, { GPU_ROUTER_API_KEY: key }: NodeJS.ProcessEnv): AgentConfig {
  return key ? { ...config, credentials: { ...config.credentials, key } } : config;
}

function overrides(env: NodeJS.ProcessEnv): Record<string, string> {
  const { GPU_ROUTER_NODE_ID: nodeId, GPU_ROUTER_ADDRESS: routerAddress } = env;
  return { ...(nodeId ? { node_id: nodeId } : {}), ...(routerAddress ? { router_address: routerAddress } : {}) };
}

/** Whether a runner of this name makes results up. */
export function isSimulatedRunner(name: string): boolean {
  return SIMULATED_RUNNER.test(name);
}

/** null where nothing is limited. */
function limitsOf(written: z.output<typeof limits>) {
  const { cpu_s: cpuS = 0, memory_mib: memoryMib = 0, address_space_mib: addressSpaceMib = 0, open_files: openFiles = 0, processes = 0, file_size_mib: fileSizeMib = 0, niceness = 0 } = written;
  const all = { cpuS, memoryMib, addressSpaceMib, openFiles, processes, fileSizeMib, niceness };
  return Object.values(all).every((value) => value === 0) ? null : all;
}

function isPlainHttpUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const url = new URL(value);
  return ["http:", "https:"].includes(url.protocol) && [url.username, url.password, url.search, url.hash].every((part) => part === "");
}

/** Not as the schema of the record's keys: zod would say no more than "invalid key". */
function checkVariableNames(variables: Record<string, string>, context: z.core.$RefinementCtx): void {
  for (const name of Object.keys(variables)) {
    const own = name.startsWith("GPU_ROUTER_") || name === "CUDA_VISIBLE_DEVICES" || name === "CUDA_DEVICE_ORDER";
    if (own) context.addIssue({ code: "custom", path: [name], message: "set by the agent for each attempt; choose another name" });
    if (!ENVIRONMENT_NAME.test(name)) context.addIssue({ code: "custom", path: [name], message: "not the name of an environment variable" });
  }
}
