// The terms of `hybrid`, all in seconds: what a GPU costs this request and what this request costs the GPU's others. Predicted from the
// work ledger and the learned rates. Work that is not measured in tokens shares its GPU evenly with what is there.
import type { Fleet } from "../../fleet/fleet.js";
import { prefillMs } from "../../estimate/service-times.js";
import { wishesOf } from "../../model/request.js";
import type { Ask, FromSettings, RequestScorer } from "../contract.js";

const BLOCK_TOKENS = 512;

function perGpu(name: string, prepare: (fleet: Fleet, ask: Ask) => (gpu: number) => number): RequestScorer {
  return {
    name,
    value: (fleet, ask, gpu) => prepare(fleet, ask)(gpu),
    add(fleet, ask, candidates, count, weight, totals) {
      const secondsOn = prepare(fleet, ask);
      for (let k = 0; k < count; k += 1) totals[k]! += weight * secondsOn(candidates[k]!);
    },
  };
}

/** Until the prompts before it have been read. */
export const startSeconds = perGpu("start_seconds", (fleet, { nowMs }) => {
  const { prefillUntilMs } = fleet.work;
  return (gpu) => Math.max(0, prefillUntilMs[gpu]! - nowMs) / 1000;
});

/** Reading its prompt and writing its answer beside what runs there. */
export const workSeconds = perGpu("work_seconds", (fleet, { spec, estimate }) => {
  const { kind, stepMs, stretch } = fleet.work;
  const { relativeSpeed } = fleet.outcomes;
  const { active } = fleet;
  const { inputTokens = 0, outputTokens = 0, durationMs } = estimate;
  if (inputTokens + outputTokens === 0) return (gpu) => ((1 + active[gpu]!) * durationMs) / relativeSpeed[gpu]! / 1000;
  const times = fleet.work.times.of(spec.modelId);
  const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
  const tokens = inputTokens + outputTokens;
  const counts = fleet.work.countsOf(times);
  return (gpu) => {
    const ofKind = kind[gpu]!;
    const step = stepMs[gpu]! + stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]! + (counts && counts[gpu]! > 0 ? 0 : stepBaseMs[ofKind]!);
    return (prefillMs(prefillMsPerToken[ofKind]!, inputTokens, step) + outputTokens * step * stretch[gpu]!) / 1000;
  };
});

/** What it delays those that run there, all of them together. */
export const delaySeconds = perGpu("delay_seconds", (fleet, { spec, estimate }) => {
  const { kind, held, remainingTokens } = fleet.work;
  const { active } = fleet;
  const { inputTokens = 0, outputTokens = 0, durationMs } = estimate;
  if (inputTokens + outputTokens === 0) return (gpu) => (active[gpu]! * durationMs) / 1000;
  const times = fleet.work.times.of(spec.modelId);
  const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
  const tokens = inputTokens + outputTokens;
  const counts = fleet.work.countsOf(times);
  return (gpu) => {
    const ofKind = kind[gpu]!;
    const added = stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]! + (counts && counts[gpu]! > 0 ? 0 : stepBaseMs[ofKind]!);
    return (held[gpu]! * inputTokens * prefillMsPerToken[ofKind]! + added * remainingTokens[gpu]!) / 1000;
  };
});

/** What it need not read again because the GPU has read the same prompt up to there: a gain. */
export const affinitySeconds: FromSettings<RequestScorer> = ({ hybrid }) =>
  perGpu("affinity_seconds", (fleet, { spec }) => {
    const { prefixHashes } = wishesOf(spec);
    if (prefixHashes.length === 0 || !hybrid.affinity) return () => 0;
    const { kind } = fleet.work;
    const { prefillMsPerToken } = fleet.work.times.of(spec.modelId);
    const lengths = fleet.prefixes.lengths(prefixHashes);
    return (gpu) => ((lengths[gpu] ?? 0) * BLOCK_TOKENS * prefillMsPerToken[kind[gpu]!]!) / 1000;
  });
