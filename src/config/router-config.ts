// The configuration of the router: one YAML file (sections and names of the deployment guide), environment over it,
// defaults under it. Read by `serve` and `up`. See deploy/router.example.yaml for every key with its meaning.
import { existsSync } from "node:fs";
import { z } from "zod";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../core/settings.js";
import { agentsSection, agentTermsOf, leasesOf, type AgentTerms } from "./agents-section.js";
import { authOf, authSection, tlsOf, tlsSection, type AuthConfig, type TlsConfig } from "./auth-config.js";
import { quotaOf, quotaSection } from "./quota-section.js";
import { configTrouble } from "./config-trouble.js";
import { callbackSection, callbacksOf, type CallbackConfig } from "./callback-config.js";
import { errorHandler, gpuMonitoring, healthSettings } from "./health-sections.js";
import { hybridOf, hybridSection } from "./hybrid-section.js";
import { schedulingTrouble } from "./scheduling-trouble.js";
import { readYaml } from "./read-yaml.js";
import { wholeMs } from "./whole-ms.js";
import { requestTimeouts, timeoutsOf } from "./request-timeouts.js";

export type { AgentTerms };

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
const DEFAULT_PATH = "config.yaml";
const defaults = DEFAULT_CORE_SETTINGS;
const seconds = (max: number): z.ZodNumber => z.number().min(0).max(max);
const port = z.int().min(0).max(65_535);
const share = z.number().min(0).max(1);
const gpuName = z.string().min(1).max(128);

const schema = z.strictObject({
  api: z
    .strictObject({
      host: z.string().min(1).default("127.0.0.1"),
      port: port.default(8000),
      grpc_port: port.default(50051),
      max_message_bytes: z.int().min(1024).max(256 << 20).default(16 << 20),
    })
    .prefault({}),
  auth: authSection,
  tls: tlsSection,
  load_balancer: z
    .strictObject({
      strategy: z.string().min(1).default(defaults.strategy),
      weights: z.record(z.string(), z.number()).default({ ...defaults.weights }),
      priority_headroom: share.default(defaults.priorityHeadroom),
      exclusive_types: z.array(z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "must be request types: lower-case words")).max(64).default([...defaults.exclusiveTypes]),
      preemption: z
        .strictObject({
          enabled: z.boolean().default(defaults.preemption.enabled),
          priority_gap: z.int().min(1).max(4).default(defaults.preemption.priorityGap),
          min_run: seconds(86_400).default(defaults.preemption.minRunMs / 1000),
          node_interval: seconds(86_400).default(defaults.preemption.nodeIntervalMs / 1000),
          patience: seconds(86_400).default(defaults.preemption.patienceMs / 1000),
        })
        .prefault({}),
      place_models: z.boolean().default(defaults.hybrid.placement),
      prefix_affinity: z.boolean().default(defaults.hybrid.affinity),
      hybrid: hybridSection,
    })
    .prefault({}),
  request_router: z
    .strictObject({
      max_retries: z.int().min(0).max(100).default(defaults.maxRetries),
      retry_delay: seconds(3600).default(defaults.retryDelayMs / 1000),
      request_timeout: seconds(31_536_000).default(defaults.requestTimeoutMs / 1000),
      timeouts: requestTimeouts,
      max_wait: z.number().min(1).max(31_536_000).default(defaults.maxWaitMs / 1000),
      max_queued_requests: z.int().min(1).max(10_000_000).default(defaults.maxQueuedRequests),
      max_queued_bytes: z.int().min(1).default(defaults.maxQueuedBytes),
      queue_headroom: share.default(defaults.queueHeadroom),
      shed_above_memory: z.number().min(0.1).max(1).default(defaults.shedAboveMemory),
    })
    .prefault({}),
  user_quota_manager: quotaSection,
  error_handler: errorHandler,
  gpu_monitoring: gpuMonitoring,
  gpu: z
    .strictObject({
      multi_gpu: z
        .strictObject({
          max_concurrent_tasks_per_gpu: z.int().min(1).max(4096).default(defaults.maxConcurrentTasksPerGpu),
          memory_threshold: share.default(defaults.memoryThreshold),
          batch_split: z.boolean().default(defaults.batch.split),
          min_batch_size_per_gpu: z.int().min(1).max(1000).default(defaults.batch.minPerGpu),
          batch_max_hold: seconds(3600).default(defaults.batch.maxHoldMs / 1000),
          utilization_threshold: share.default(defaults.utilizationThreshold),
          task_specific_mappings: z.record(z.string(), z.union([gpuName.transform((name) => [name]), z.array(gpuName).min(1).max(1024)])).default({}),
        })
        .prefault({}),
    })
    .prefault({}),
  agents: agentsSection,
  journal: z
    .strictObject({
      data_dir: z.string().min(1).default("data"),
      keep_finished_hours: z.number().min(0).max(8760).default(24),
      keep_finished_requests: z.int().min(0).max(100_000_000).default(1_000_000),
      encryption_key_file: z.string().default(""),
    })
    .prefault({}),
  callbacks: callbackSection,
  recording: z.strictObject({ file: z.string().default(""), max_mib: z.int().min(1).max(1 << 20).default(1024), hash_users: z.boolean().default(false) }).prefault({}),
  log_level: z.enum(LOG_LEVELS).default("info"),
});

/** How long finished requests and their results can be asked for. */
export interface RetentionLimits {
  readonly finishedForMs: number;
  readonly finishedAtMost: number;
}

/** What is written down of a life of the router, to be looked at later. */
export interface RecordingConfig {
  /** "" for no recording. */
  readonly file: string;
  readonly maxBytes: number;
  readonly hashUsers: boolean;
}

export interface RouterConfig {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly maxMessageBytes: number;
  readonly auth: AuthConfig;
  readonly tls: TlsConfig;
  readonly dataDirectory: string;
  /** File with the key under which everything there is encrypted; "" for none. */
  readonly encryptionKeyFile: string;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly core: CoreSettings;
  readonly agentTerms: AgentTerms;
  readonly retention: RetentionLimits;
  readonly callbacks: CallbackConfig;
  readonly recording: RecordingConfig;
}

/** A configuration that cannot be used; the message names the file, each key, and what is allowed there. */
export class RouterConfigError extends Error {
  override readonly name = "RouterConfigError";
}

/**
 * Reads `filePath`, else CONFIG_PATH of `env`, else config.yaml where there is one; API_HOST and API_PORT of `env` go over it.
 * Throws RouterConfigError.
 */
export function loadRouterConfig(filePath: string | undefined, env: NodeJS.ProcessEnv): RouterConfig {
  const chosen = filePath ?? env["CONFIG_PATH"] ?? (existsSync(DEFAULT_PATH) ? DEFAULT_PATH : undefined);
  const fail = (trouble: string): never => {
    throw new RouterConfigError(`${chosen ?? "the router's configuration"}: ${trouble}\nSee deploy/router.example.yaml for every key.`);
  };
  const written = (chosen === undefined ? {} : readYaml(chosen, fail)) as { api?: object };
  const { API_HOST: host, API_PORT: apiPort } = env;
  const names = [...(host ? ["API_HOST"] : []), ...(apiPort ? ["API_PORT"] : [])];
  const over = { ...(host ? { host } : {}), ...(apiPort ? { port: /^\d+$/.test(apiPort) ? Number(apiPort) : apiPort } : {}) };
  const all = names.length > 0 ? { ...written, api: { ...written.api, ...over } } : written;
  const parsed = schema.safeParse(all);
  if (!parsed.success) return fail(configTrouble(schema, all, parsed.error, names));
  const config = settle(parsed.data);
  const trouble = schedulingTrouble(config.core);
  return trouble === "" ? config : fail(trouble);
}

/** From the file's names and seconds to ours and milliseconds. */
function settle(file: z.output<typeof schema>): RouterConfig {
  const { api, agents, journal } = file;
  const multiGpu = file.gpu.multi_gpu;
  return {
    host: api.host,
    httpPort: api.port,
    grpcPort: api.grpc_port,
    maxMessageBytes: api.max_message_bytes,
    auth: authOf(file.auth),
    tls: tlsOf(file.tls),
    dataDirectory: journal.data_dir,
    encryptionKeyFile: journal.encryption_key_file,
    logLevel: file.log_level,
    core: {
      strategy: file.load_balancer.strategy,
      weights: file.load_balancer.weights,
      priorityHeadroom: file.load_balancer.priority_headroom,
      taskMappings: multiGpu.task_specific_mappings,
      hybrid: { ...hybridOf(file.load_balancer.hybrid), placement: file.load_balancer.place_models, affinity: file.load_balancer.prefix_affinity },
      exclusiveTypes: file.load_balancer.exclusive_types,
      preemption: preemptionOf(file.load_balancer.preemption),
      batch: { split: multiGpu.batch_split, minPerGpu: multiGpu.min_batch_size_per_gpu, maxHoldMs: multiGpu.batch_max_hold * 1000 },
      maxWaitMs: file.request_router.max_wait * 1000,
      maxConcurrentTasksPerGpu: multiGpu.max_concurrent_tasks_per_gpu,
      memoryThreshold: multiGpu.memory_threshold,
      utilizationThreshold: multiGpu.utilization_threshold,
      maxTemperatureCelsius: file.gpu_monitoring.max_temperature,
      errorThreshold: file.error_handler.error_threshold,
      gpuCooldownMs: file.error_handler.gpu_cooldown_period * 1000,
      health: healthSettings(file.error_handler, file.gpu_monitoring),
      maxRetries: file.request_router.max_retries,
      retryDelayMs: file.request_router.retry_delay * 1000,
      requestTimeoutMs: wholeMs(file.request_router.request_timeout),
      timeouts: timeoutsOf(file.request_router.timeouts),
      ...leasesOf(agents),
      maxQueuedRequests: file.request_router.max_queued_requests,
      maxQueuedBytes: file.request_router.max_queued_bytes,
      queueHeadroom: file.request_router.queue_headroom,
      shedAboveMemory: file.request_router.shed_above_memory,
      quota: quotaOf(file.user_quota_manager),
    },
    agentTerms: agentTermsOf(agents),
    retention: { finishedForMs: journal.keep_finished_hours * 3_600_000, finishedAtMost: journal.keep_finished_requests },
    callbacks: callbacksOf(file.callbacks),
    recording: { file: file.recording.file, maxBytes: file.recording.max_mib * 1024 * 1024, hashUsers: file.recording.hash_users },
  };
}

function preemptionOf(file: z.output<typeof schema>["load_balancer"]["preemption"]): CoreSettings["preemption"] {
  return {
    enabled: file.enabled,
    priorityGap: file.priority_gap,
    minRunMs: file.min_run * 1000,
    nodeIntervalMs: file.node_interval * 1000,
    patienceMs: file.patience * 1000,
  };
}
