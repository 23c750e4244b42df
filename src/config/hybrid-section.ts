// The section `load_balancer.hybrid` of the router's configuration: the pieces of the `hybrid` strategy, by the names that --set of the
// simulator takes. Part of router-config.ts; deploy/router.example.yaml has every key with its meaning.
import { z } from "zod";
import { DEFAULT_CORE_SETTINGS, type HybridSettings } from "../core/settings.js";

const defaults = DEFAULT_CORE_SETTINGS.hybrid;
const share = z.number().min(0).max(1);

/** Its placement and affinity are not here: as `place_models` and `prefix_affinity` they are keys of `load_balancer` itself. */
export const hybridSection = z
  .strictObject({
    late_binding: z.boolean().default(defaults.lateBinding),
    slots_by_slo: z.boolean().default(defaults.slotsBySlo),
    fixed_slots: z.int().min(1).max(4096).default(defaults.fixedSlots),
    protect_running: z.boolean().default(defaults.protectRunning),
    batch_step_share: share.default(defaults.batchStepShare),
    batch_prefill_ms: z.number().min(0).max(3_600_000).default(defaults.batchPrefillMs),
    batch_kv_headroom: share.default(defaults.batchKvHeadroom),
    model_room: z.boolean().default(defaults.modelRoom),
    late_exit: z.boolean().default(defaults.lateExit),
    bands: z.boolean().default(defaults.bands),
    fair_users: z.boolean().default(defaults.fairUsers),
    learned_estimates: z.boolean().default(defaults.learnedEstimates),
    seconds_score: z.boolean().default(defaults.secondsScore),
    delay_weight: share.default(defaults.delayWeight),
  })
  .prefault({});

export function hybridOf(file: z.output<typeof hybridSection>): Omit<HybridSettings, "placement" | "affinity"> {
  return {
    lateBinding: file.late_binding,
    slotsBySlo: file.slots_by_slo,
    fixedSlots: file.fixed_slots,
    protectRunning: file.protect_running,
    batchStepShare: file.batch_step_share,
    batchPrefillMs: file.batch_prefill_ms,
    batchKvHeadroom: file.batch_kv_headroom,
    modelRoom: file.model_room,
    lateExit: file.late_exit,
    bands: file.bands,
    fairUsers: file.fair_users,
    learnedEstimates: file.learned_estimates,
    secondsScore: file.seconds_score,
    delayWeight: file.delay_weight,
  };
}
