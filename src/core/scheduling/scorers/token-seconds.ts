import type { StateScorer } from "../contract.js";

/**
 * Tokens per second of an A100 that serves an 8-billion-parameter model with chat requests, prompts and answers together. A constant:
 * that it is nominal, and wrong for other models, is what tells this strategy from those that learn.
 */
const NOMINAL_TOKENS_PER_SECOND = 5_000;

/** Seconds that the tokens of its requests, prompts and expected answers, take at its kind's nominal rate: a cost (SGLang gateway). */
export const tokenSeconds: StateScorer = {
  name: "token_seconds",
  value: (fleet, gpu) => fleet.work.kvTokens[gpu]! / (NOMINAL_TOKENS_PER_SECOND * fleet.outcomes.relativeSpeed[gpu]!),
};
