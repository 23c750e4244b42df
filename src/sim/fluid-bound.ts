// The fluid bound: a load that no scheduler can exceed on a fleet in the long run, whatever it does. (A run that is short against its
// drain may seem to: batch work is done after the last arrival.) Requests are taken for a fluid that may be divided at will, models to
// be wherever they are wanted, batches to be as large as engines allow, SLOs not to exist.
//
//   largest L with  x[k,m] >= 0,  sum over m of x[k,m] c[k,m] <= n[k],  sum over k of x[k,m] = d[m](L)
//
// where n[k] GPUs are of kind k, d[m](L) is the demand for model m at load L, and c[k,m] the GPU time that kind k takes for it:
//   prompt tokens that no earlier request had × time per token + pairs of prompt tokens × time per pair
//   + output tokens × time per request + tokens read from caches × time per cached token
//   + time per step × max(output tokens / 256, tokens read from caches / tokens that the cache holds): the fewest steps there can be
// Jobs that are given as time take it on the reference kind, and by memory bandwidth on others.
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { MODEL_NAMES } from "../simulated-gpu/models.js";
import { BLOCK_TOKENS } from "../simulated-gpu/prefix-cache.js";
import { sessionBlocks } from "../simulated-gpu/session-blocks.js";
import { MAX_SEQS, serviceTimes, workSpeed } from "../simulated-gpu/service-times.js";
import { maximum } from "./simplex.js";
import { sessionName, type Arrival, type Tenant, type Workload } from "./workload/arrival.js";

/** What is asked of a model, per second. */
export interface FluidDemand {
  /** Prompt tokens that are in no earlier prompt. */
  newTokens: number;
  /** Half the squares of the prompts' lengths: pairs of tokens in attention. Of prompts with a known beginning only what is new. */
  tokenPairs: number;
  outputTokens: number;
  /** Tokens in the cache, summed over output tokens. */
  readTokens: number;
  /** Of jobs, on the reference kind. */
  workMs: number;
}

/** By model what a workload's tenants that are wanted ask for with a seed. */
export function fluidDemands(workload: Workload, seed: number, wanted: (tenant: Tenant) => boolean = () => true): Map<string, FluidDemand> {
  const demands = new Map<string, FluidDemand>();
  const seen = new Map<string, Set<number>>();
  const perSecond = 1000 / workload.durationMs;
  for (const arrival of workload.arrivals(seed)) {
    const tenant = workload.tenants[arrival.tenant];
    if (!tenant || !wanted(tenant)) continue;
    const { modelId } = tenant;
    const demand = demands.get(modelId) ?? { newTokens: 0, tokenPairs: 0, outputTokens: 0, readTokens: 0, workMs: 0 };
    demands.set(modelId, demand);
    const { inputTokens, outputTokens, workMs, gpus } = arrival;
    if (workMs > 0) {
      demand.workMs += workMs * gpus * perSecond;
      continue;
    }
    let ofModel = seen.get(modelId);
    if (!ofModel) {
      ofModel = new Set();
      seen.set(modelId, ofModel);
    }
    const known = knownTokens(arrival, ofModel);
    demand.newTokens += (inputTokens - known) * perSecond;
    demand.tokenPairs += ((inputTokens ** 2 - known ** 2) / 2) * perSecond;
    demand.outputTokens += outputTokens * perSecond;
    demand.readTokens += (outputTokens * inputTokens + outputTokens ** 2 / 2) * perSecond;
  }
  return demands;
}

/** Tokens of the prompt's beginning that some prompt before had for its model; remembers this one. */
function knownTokens(arrival: Arrival, seen: Set<number>): number {
  const { prefixHashes, inputTokens, outputTokens } = arrival;
  const session = sessionName(arrival);
  const blocks = prefixHashes.length > 0 ? prefixHashes : sessionBlocks(session, inputTokens);
  const unknown = blocks.findIndex((hash) => !seen.has(hash));
  for (const hash of prefixHashes.length > 0 ? prefixHashes : sessionBlocks(session, inputTokens + outputTokens)) seen.add(hash);
  return Math.min(inputTokens - 1, (unknown < 0 ? blocks.length : unknown) * BLOCK_TOKENS);
}

/** The largest factor by which all demands together may grow on the GPUs, or must shrink below 1. */
export function fluidFactor(kinds: readonly GpuKind[], demands: ReadonlyMap<string, FluidDemand>): number {
  const distinct = [...new Set(kinds)];
  const models = [...demands];
  // Variables: the factor, then the share of each model's demand on each kind that can do it.
  const ways = models.flatMap(([modelId, demand], model) => distinct.flatMap((kind, place) => (able(kind, modelId) ? [{ model, place, gpus: gpusFor(kind, modelId, demand) }] : [])));
  const perKind = distinct.map((_, place) => [0, ...ways.map((way) => (way.place === place ? way.gpus : 0))]);
  const perModel = models.map((_, model) => [1, ...ways.map((way) => (way.model === model ? -1 : 0))]);
  return maximum([1, ...ways.map(() => 0)], [...perKind, ...perModel], [...distinct.map((kind) => kinds.filter((each) => each === kind).length), ...models.map(() => 0)]);
}

/** The largest load, to 0.1 %, of a workload that is `fixed + load × scaled`; 0 when what is fixed does not fit. */
export function fluidBound(kinds: readonly GpuKind[], scaled: ReadonlyMap<string, FluidDemand>, fixed: ReadonlyMap<string, FluidDemand>): number {
  if (fixed.size === 0) return fluidFactor(kinds, scaled);
  const fits = (load: number): boolean => fluidFactor(kinds, mixed(scaled, load, fixed)) >= 1;
  let high = fluidFactor(kinds, scaled);
  let low = 0;
  if (!fits(low)) return 0;
  while (high - low > high / 1000) {
    const middle = (low + high) / 2;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function mixed(scaled: ReadonlyMap<string, FluidDemand>, load: number, fixed: ReadonlyMap<string, FluidDemand>): Map<string, FluidDemand> {
  const none: FluidDemand = { newTokens: 0, tokenPairs: 0, outputTokens: 0, readTokens: 0, workMs: 0 };
  return new Map(
    [...new Set([...scaled.keys(), ...fixed.keys()])].map((modelId) => {
      const grows = scaled.get(modelId) ?? none;
      const stays = fixed.get(modelId) ?? none;
      const sum = (of: keyof FluidDemand): number => load * grows[of] + stays[of];
      return [modelId, { newTokens: sum("newTokens"), tokenPairs: sum("tokenPairs"), outputTokens: sum("outputTokens"), readTokens: sum("readTokens"), workMs: sum("workMs") }];
    }),
  );
}

function able(kind: GpuKind, modelId: string): boolean {
  return !MODEL_NAMES.includes(modelId) || serviceTimes(kind, modelId).kvCapacityTokens > 0;
}

/** GPUs of a kind that a demand keeps busy. */
function gpusFor(kind: GpuKind, modelId: string, { newTokens, tokenPairs, outputTokens, readTokens, workMs }: FluidDemand): number {
  const times = serviceTimes(kind, modelId);
  const tokensMs =
    newTokens * times.prefillMsPerToken +
    tokenPairs * times.prefillMsPerTokenPair +
    outputTokens * times.stepMsPerRequest +
    readTokens * times.stepMsPerKvToken +
    times.stepBaseMs * Math.max(outputTokens / MAX_SEQS, MODEL_NAMES.includes(modelId) ? readTokens / times.kvCapacityTokens : 0);
  return (tokensMs + workMs / workSpeed(kind)) / 1000;
}

