// The default: predicted seconds, promises that are kept, batch work in what is left. What it needs beside scores lies elsewhere: the
// order of the line in queue/, the models' places in placement/, the predictions in fleet/work-ledger.ts.
// No score has a term for loading a model: only GPUs that serve it now are chosen among. Loading on demand of single requests never
// paid; the placement loads for demand, within a second or two of it where a model lies nowhere, and requests wait for that.
import type { Fleet } from "../../fleet/fleet.js";
import { mostReadBefore } from "../../fleet/read-before.js";
import { dueAtMs, firstOutputDueAtMs, isPromised } from "../../model/request.js";
import type { CoreSettings } from "../../settings.js";
import type { Ask, FromSettings, RequestFilter, Strategy } from "../contract.js";
import { batchShare } from "../filters/batch-share.js";
import { fixedSlots } from "../filters/fixed-slots.js";
import { kvRoom } from "../filters/kv-room.js";
import { modelRoom } from "../filters/model-room.js";
import { othersPromises } from "../filters/others-promises.js";
import { ownPromise } from "../filters/own-promise.js";
import { health } from "../scorers/health.js";
import { unwell } from "../scorers/unwell.js";
import { Prediction } from "../prediction.js";
import { leastOutstandingWeighted } from "./least-outstanding-weighted.js";
import { affinitySeconds, delaySeconds, ownSeconds, riskSeconds } from "../scorers/seconds.js";

/** A GPU in perfect health is worth this much of a request's time beside a failing one, seconds. */
const HEALTH_SECONDS = 0.5;
/** And one that is not well takes work only where it saves so much, seconds. */
const UNWELL_SECONDS = 2;

/** The GPU on which a request costs least time, its own and that of others. */
export const hybrid: FromSettings<Strategy> = (settings) => {
  const { affinity, lateExit, secondsScore } = settings.hybrid;
  const prediction = new Prediction(affinity);
  return {
    name: "hybrid",
    filters: filtersOf(settings, prediction),
    tooLate: lateExit ? (fleet, ask) => tooLate(fleet, ask, affinity) : () => false,
    scorers: secondsScore ? secondsOf(settings, prediction) : leastOutstandingWeighted.scorers,
  };
};

function secondsOf({ hybrid: { delayWeight } }: CoreSettings, prediction: Prediction): Strategy["scorers"] {
  return [
    { scorer: ownSeconds(prediction), weight: -1 },
    { scorer: riskSeconds(prediction), weight: -1 },
    { scorer: delaySeconds(prediction), weight: -delayWeight },
    { scorer: affinitySeconds(prediction), weight: 1 },
    { scorer: health, weight: HEALTH_SECONDS },
    { scorer: unwell, weight: -UNWELL_SECONDS },
  ];
}

function filtersOf(settings: CoreSettings, prediction: Prediction): readonly RequestFilter[] {
  const { lateBinding, slotsBySlo, protectRunning } = settings.hybrid;
  const batch = batchShare(prediction)(settings);
  if (!lateBinding) return [];
  if (!slotsBySlo) return [modelRoom(settings), fixedSlots(settings), batch];
  return [modelRoom(settings), kvRoom(settings), ownPromise(prediction), ...(protectRunning ? [othersPromises(prediction)] : []), batch];
}

/**
 * An idle GPU of the fastest kind that serves it would not make it, not even one that has read as much of the prompt as the best. Where none
 * serves it now, any kind of the fleet may come to.
 */
function tooLate(fleet: Fleet, { spec, estimate, acceptedAtMs, nowMs, gpus }: Ask, affinity: boolean): boolean {
  if (!isPromised(spec)) return false;
  const { inputTokens = 0, outputTokens = 0 } = estimate;
  const unread = inputTokens - (affinity ? mostReadBefore(fleet, spec, inputTokens, nowMs) : 0);
  const { prefillMsPerToken, stepBaseMs, stepMsPerRequest } = fleet.work.times.of(spec.modelId);
  const { serving } = fleet.runners.for(fleet, spec.modelId, spec.type, gpus);
  let readMs = Number.POSITIVE_INFINITY;
  let stepMs = Number.POSITIVE_INFINITY;
  for (let place = 0; place < (serving.length || stepBaseMs.length); place += 1) {
    const kind = serving.length > 0 ? fleet.work.kind[serving[place]!]! : place;
    readMs = Math.min(readMs, unread * prefillMsPerToken[kind]!);
    stepMs = Math.min(stepMs, stepBaseMs[kind]! + stepMsPerRequest[kind]!);
  }
  if (readMs === Number.POSITIVE_INFINITY) return false;
  return nowMs + readMs + stepMs > firstOutputDueAtMs(spec, acceptedAtMs) || nowMs + readMs + outputTokens * stepMs > dueAtMs(spec, acceptedAtMs);
}
