// Settings that are wished over others, and whether the GPUs and request types that they name are there. Used by set-up.ts and what-if's.
import type { CoreSettings, HybridSettings } from "../core/settings.js";

/** What is wished beside the policy's own. Of nested settings only what is named changes. */
export interface SettingsOverride {
  readonly settings: Partial<CoreSettings>;
  readonly hybrid: Partial<HybridSettings>;
  readonly preemption?: Partial<CoreSettings["preemption"]>;
  readonly batch?: Partial<CoreSettings["batch"]>;
  readonly health?: Partial<CoreSettings["health"]>;
  readonly weights?: CoreSettings["weights"];
  readonly taskMappings?: CoreSettings["taskMappings"];
}

export function overridden(base: CoreSettings, { settings, hybrid, preemption, batch, health, weights, taskMappings }: Partial<SettingsOverride>): CoreSettings {
  return {
    ...base,
    ...settings,
    weights: { ...base.weights, ...weights },
    taskMappings: { ...base.taskMappings, ...taskMappings },
    hybrid: { ...base.hybrid, ...hybrid },
    preemption: { ...base.preemption, ...preemption },
    batch: { ...base.batch, ...batch },
    health: { ...base.health, ...health },
  };
}

/** What such mappings name that is not there; null when all is. A router waits for it, a simulation would in vain. */
export function mappingTrouble(mappings: CoreSettings["taskMappings"] = {}, types: readonly string[], gpuIds: readonly string[]): string | null {
  const known = new Set([...gpuIds, ...gpuIds.map((_, index) => `gpu_${index}`)]);
  for (const [type, gpus] of Object.entries(mappings)) {
    if (!types.includes(type)) return `task_specific_mappings.${type}: no request is of that type, but of ${[...new Set(types)].join(", ")}`;
    const missing = gpus.find((gpu) => !known.has(gpu));
    if (missing !== undefined) return `task_specific_mappings.${type}: there is no GPU ${missing}, but gpu_0 to gpu_${gpuIds.length - 1}, such as ${gpuIds[0] ?? "none"}`;
  }
  return null;
}
