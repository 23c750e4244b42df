// The terms of `hybrid`, all in seconds: what a GPU costs this request and what this request costs the GPU's others. Predicted from the
// work ledger and the learned rates. Work that is not measured in tokens shares its GPU evenly with what is there.
import { isRecognizable } from "../../fleet/read-before.js";
import { dueAtMs, isBackground, wishesOf } from "../../model/request.js";
import type { Ask, RequestScorer } from "../contract.js";
import type { Prediction } from "../prediction.js";

/** From now to the end: the prompts before it, its own, its answer beside what runs there. */
export const ownSeconds = (prediction: Prediction): RequestScorer => ({
  name: "own_seconds",
  value(fleet, ask, gpu) {
    const { estimate, nowMs } = ask;
    if (estimate.outputTokens === undefined) return ((1 + fleet.active[gpu]!) * estimate.durationMs) / fleet.outcomes.relativeSpeed[gpu]! / 1000;
    const { firstOutputAtMs, writeMs } = prediction.makeFor(fleet, ask, gpu);
    return (firstOutputAtMs[gpu]! - nowMs + writeMs[gpu]!) / 1000;
  },
  add(fleet, ask, candidates, count, weight, totals) {
    const { estimate, nowMs } = ask;
    if (estimate.outputTokens === undefined) {
      const { active } = fleet;
      const { relativeSpeed } = fleet.outcomes;
      const perMs = (weight * estimate.durationMs) / 1000;
      for (let k = 0; k < count; k += 1) totals[k]! += (perMs * (1 + active[candidates[k]!]!)) / relativeSpeed[candidates[k]!]!;
      return;
    }
    const { firstOutputAtMs, writeMs } = prediction.make(fleet, ask, candidates, count);
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      totals[k]! += (weight * (firstOutputAtMs[gpu]! - nowMs + writeMs[gpu]!)) / 1000;
    }
  },
});

/** What it delays others, all of them together: those that run there, and those that are expected there while it runs. */
export const delaySeconds = (prediction: Prediction): RequestScorer => ({
  name: "delay_seconds",
  value(fleet, ask, gpu) {
    const { estimate } = ask;
    if (estimate.outputTokens === undefined) return (fleet.active[gpu]! * estimate.durationMs) / fleet.outcomes.relativeSpeed[gpu]! / 1000;
    const { readMs, savedMs, addedStepMs, writeMs } = prediction.makeFor(fleet, ask, gpu);
    const { held, remainingTokens, expectedTokensPerMs } = fleet.work;
    const tokens = Math.max(remainingTokens[gpu]!, 0.5 * expectedTokensPerMs[gpu]! * writeMs[gpu]!);
    return (held[gpu]! * (readMs[gpu]! - savedMs[gpu]!) + addedStepMs[gpu]! * tokens) / 1000;
  },
  add(fleet, ask, candidates, count, weight, totals) {
    const { estimate } = ask;
    if (estimate.outputTokens === undefined) {
      const { active } = fleet;
      const { relativeSpeed } = fleet.outcomes;
      const perRequest = (weight * estimate.durationMs) / 1000;
      for (let k = 0; k < count; k += 1) totals[k]! += (perRequest * active[candidates[k]!]!) / relativeSpeed[candidates[k]!]!;
      return;
    }
    const { readMs, savedMs, addedStepMs, writeMs } = prediction.make(fleet, ask, candidates, count);
    const { held, remainingTokens, expectedTokensPerMs } = fleet.work;
    const perMs = weight / 1000;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const tokens = Math.max(remainingTokens[gpu]!, 0.5 * expectedTokensPerMs[gpu]! * writeMs[gpu]!);
      totals[k]! += perMs * (held[gpu]! * (readMs[gpu]! - savedMs[gpu]!) + addedStepMs[gpu]! * tokens);
    }
  },
});

/**
 * The time that it was promised, as far as the promise may break: answers turn out longer than expected, and most so where tokens come
 * slowly. The chance is the one-sided bound of Chebyshev for answers whose lengths deviate from their mean by as much as that.
 */
export const riskSeconds = (prediction: Prediction): RequestScorer => ({
  name: "risk_seconds",
  value(fleet, ask, gpu) {
    const dueMs = promisedUntilMs(ask);
    if (dueMs === Number.POSITIVE_INFINITY) return 0;
    const { firstOutputAtMs, writeMs } = prediction.makeFor(fleet, ask, gpu);
    return (chance(writeMs[gpu]!, dueMs - firstOutputAtMs[gpu]!) * (dueMs - ask.acceptedAtMs)) / 1000;
  },
  add(fleet, ask, candidates, count, weight, totals) {
    const dueMs = promisedUntilMs(ask);
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const { firstOutputAtMs, writeMs } = prediction.make(fleet, ask, candidates, count);
    const stake = (weight * (dueMs - ask.acceptedAtMs)) / 1000;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      totals[k]! += stake * chance(writeMs[gpu]!, dueMs - firstOutputAtMs[gpu]!);
    }
  },
});

/** Infinity when nothing was promised, or not any more. */
function promisedUntilMs({ spec, estimate, late, acceptedAtMs }: Ask): number {
  return late || estimate.outputTokens === undefined ? Number.POSITIVE_INFINITY : dueAtMs(spec, acceptedAtMs);
}

/** That something takes longer than it may, which is expected to take `expectedMs`. */
function chance(expectedMs: number, mayTakeMs: number): number {
  const spareMs = mayTakeMs - expectedMs;
  return spareMs > 0 ? (expectedMs * expectedMs) / (expectedMs * expectedMs + spareMs * spareMs) : 1;
}

/**
 * A prompt that stays where it was read leaves other caches to other prompts, and the next turn of its conversation finds it there: worth
 * this many readings beside the one that it spares, and one for each request that runs there and is not stopped by it. Work in the
 * background is no conversation, and who is late needs any GPU that is free: they must not crowd one. A session's context is read again
 * by its own next turns only, which are a handful.
 */
const REUSE = 64;
const REUSE_FEW = 8;

/** What is read where it was read before: a gain beside the time that it spares, which the other terms have. */
export const affinitySeconds = (prediction: Prediction): RequestScorer => ({
  name: "affinity_seconds",
  value(fleet, ask, gpu) {
    if (ask.estimate.outputTokens === undefined) return 0;
    return ((reuse(ask) + fleet.work.held[gpu]!) * prediction.makeFor(fleet, ask, gpu).savedMs[gpu]!) / 1000;
  },
  add(fleet, ask, candidates, count, weight, totals) {
    if (ask.estimate.outputTokens === undefined || !isRecognizable(ask.spec)) return;
    const { savedMs, saves } = prediction.make(fleet, ask, candidates, count);
    if (!saves) return;
    const { held } = fleet.work;
    const perMs = weight / 1000;
    const readings = reuse(ask);
    for (let k = 0; k < count; k += 1) totals[k]! += perMs * (readings + held[candidates[k]!]!) * savedMs[candidates[k]!]!;
  },
});

function reuse(ask: Ask): number {
  return ask.late || isBackground(ask.spec) || wishesOf(ask.spec).prefixHashes.length === 0 ? REUSE_FEW : REUSE;
}
