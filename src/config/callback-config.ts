// The `callbacks` section of the router's configuration: how callers that left an address are told.
import { z } from "zod";

export const callbackSection = z
  .strictObject({
    secrets_file: z.string().default(""),
    allow: z.array(z.string().min(1).max(253)).max(1024).default([]),
    ports: z.array(z.int().min(1).max(65_535)).max(1024).default([80, 443]),
    connect_timeout: z.number().min(0.1).max(60).default(5),
    timeout: z.number().min(0.1).max(300).default(15),
    max_concurrent: z.int().min(1).max(1024).default(64),
    max_concurrent_per_host: z.int().min(1).max(256).default(4),
    retry_delay: z.number().min(0.01).max(3600).default(1),
    max_retry_delay: z.number().min(0.01).max(86_400).default(3600),
    max_tries: z.int().min(1).max(1000).default(50),
    give_up_after_hours: z.number().min(0.01).max(720).default(24),
    max_pending: z.int().min(1).max(1_000_000).default(100_000),
    max_pending_per_host: z.int().min(1).max(1_000_000).default(10_000),
    keep_failed: z.int().min(0).max(1_000_000).default(10_000),
  })
  .prefault({});

/** How callers that left an address are told. */
export interface CallbackConfig {
  /** "" for a file of the router's own, in the data directory. */
  readonly secretsFile: string;
  /** What may be called though it is not public, and by http. */
  readonly allow: readonly string[];
  readonly ports: readonly number[];
  readonly connectTimeoutMs: number;
  readonly timeoutMs: number;
  readonly limits: CallbackLimits;
}

/** How many callbacks, how often and how long. */
export interface CallbackLimits {
  readonly maxConcurrent: number;
  readonly maxConcurrentPerHost: number;
  readonly retryDelayMs: number;
  readonly maxRetryDelayMs: number;
  readonly maxTries: number;
  readonly giveUpAfterMs: number;
  readonly maxPending: number;
  readonly maxPendingPerHost: number;
  /** Those that were given up. */
  readonly keepFailed: number;
}

/** From the file's names and seconds to ours and milliseconds. */
export function callbacksOf(file: z.output<typeof callbackSection>): CallbackConfig {
  return {
    secretsFile: file.secrets_file,
    allow: file.allow,
    ports: file.ports,
    connectTimeoutMs: file.connect_timeout * 1000,
    timeoutMs: file.timeout * 1000,
    limits: {
      maxConcurrent: file.max_concurrent,
      maxConcurrentPerHost: file.max_concurrent_per_host,
      retryDelayMs: file.retry_delay * 1000,
      maxRetryDelayMs: file.max_retry_delay * 1000,
      maxTries: file.max_tries,
      giveUpAfterMs: file.give_up_after_hours * 3_600_000,
      maxPending: file.max_pending,
      maxPendingPerHost: file.max_pending_per_host,
      keepFailed: file.keep_failed,
    },
  };
}
