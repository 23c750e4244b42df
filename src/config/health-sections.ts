// The sections of the router's configuration that say when a GPU counts as ill: `error_handler` and `gpu_monitoring`. Part of
// router-config.ts; deploy/router.example.yaml has every key with its meaning.
import { z } from "zod";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../core/settings.js";

const defaults = DEFAULT_CORE_SETTINGS;
const seconds = (max: number): z.ZodNumber => z.number().min(0).max(max);
const share = z.number().min(0).max(1);

/** Section `error_handler`. Times in seconds. */
export const errorHandler = z
  .strictObject({
    error_threshold: share.default(defaults.errorThreshold),
    gpu_cooldown_period: seconds(86_400).default(defaults.gpuCooldownMs / 1000),
    max_cooldown_period: seconds(604_800).default(defaults.health.maxCooldownMs / 1000),
    min_outcomes: z.int().min(1).max(10_000).default(defaults.health.minOutcomes),
    max_ejected_share: share.default(defaults.health.maxEjectedShare),
    slow_ratio: z.number().min(1).max(1_000).default(defaults.health.slowRatio),
    eject_ratio: z.number().min(1).max(1_000).default(defaults.health.ejectRatio),
    recovery_time: seconds(86_400).default(defaults.health.recoveryMs / 1000),
    probe_patience: seconds(86_400).default(defaults.health.probePatienceMs / 1000),
    slow_start: seconds(86_400).default(defaults.health.slowStartMs / 1000),
  })
  .refine((handler) => handler.eject_ratio >= handler.slow_ratio, { path: ["eject_ratio"], message: "must be at least slow_ratio" })
  .prefault({});

/** Section `gpu_monitoring`. Degrees Celsius. */
export const gpuMonitoring = z
  .strictObject({
    max_temperature: z.number().min(1).max(150).default(defaults.maxTemperatureCelsius),
    temperature_margin: z.number().min(0).max(50).default(defaults.health.temperatureMarginCelsius),
  })
  .prefault({});

/** From the sections' names and seconds to ours and milliseconds. */
export function healthSettings(handler: z.output<typeof errorHandler>, monitoring: z.output<typeof gpuMonitoring>): CoreSettings["health"] {
  return {
    maxCooldownMs: handler.max_cooldown_period * 1000,
    recoveryMs: handler.recovery_time * 1000,
    probePatienceMs: handler.probe_patience * 1000,
    slowStartMs: handler.slow_start * 1000,
    maxEjectedShare: handler.max_ejected_share,
    minOutcomes: handler.min_outcomes,
    temperatureMarginCelsius: monitoring.temperature_margin,
    slowRatio: handler.slow_ratio,
    ejectRatio: handler.eject_ratio,
  };
}
