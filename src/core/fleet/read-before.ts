// How much of a request's prompt GPUs have read before, by what is known of prefixes and of sessions: the longer of the two counts, since
// both tell of the same beginning. Called by the state, which writes both, and by predictions.
import { wishesOf, type RequestSpec } from "../model/request.js";
import type { Fleet } from "./fleet.js";
import { blockTokens } from "./prefix-index.js";

type Caches = Pick<Fleet, "prefixes" | "sessions">;

/** Whether a request says anything by which its prompt could be known again. */
export function isRecognizable({ wishes }: RequestSpec): boolean {
  return wishes !== undefined && (wishes.prefixHashes.length > 0 || wishes.sessionKey !== "");
}

/** Tokens of a prompt of `inputTokens` that one GPU has read before. */
export function readBefore({ prefixes, sessions }: Caches, spec: RequestSpec, inputTokens: number, gpu: number, nowMs: number): number {
  if (!isRecognizable(spec)) return 0;
  const { prefixHashes } = wishesOf(spec);
  const ofPrefix = prefixHashes.length > 0 ? (prefixes.lengths(spec.modelId, prefixHashes)[gpu] ?? 0) * blockTokens(inputTokens, prefixHashes.length) : 0;
  const context = sessions.contextOf(spec, nowMs);
  return Math.min(inputTokens, Math.max(ofPrefix, context?.gpu === gpu ? context.tokens : 0));
}

/** The most that any GPU has. */
export function mostReadBefore({ prefixes, sessions }: Caches, spec: RequestSpec, inputTokens: number, nowMs: number): number {
  if (!isRecognizable(spec)) return 0;
  const { prefixHashes } = wishesOf(spec);
  const ofPrefix = prefixHashes.length > 0 ? prefixes.longest(spec.modelId, prefixHashes) * blockTokens(inputTokens, prefixHashes.length) : 0;
  return Math.min(inputTokens, Math.max(ofPrefix, sessions.contextOf(spec, nowMs)?.tokens ?? 0));
}
