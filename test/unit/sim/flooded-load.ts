// A load in which one client floods: ServeGen's m-large, whose busiest client sends 28 % of all requests, in the ten minutes of its day in
// which it does so. Thinned by lot until it asks for a wanted multiple of what a few GPUs can do; who sends how much beside others stays.
import path from "node:path";
import { seededRandom } from "../../../src/lib/random.js";
import { readServegen } from "../../../src/sim/workload/formats/servegen.js";
import { servegenStream } from "../../../src/sim/workload/servegen-stream.js";
import { TRACES } from "./workload/real-traces.js";

export const M_LARGE = path.join(TRACES, "servegen/m-large.clients-10min.csv.gz");

export const MINUTE_MS = 60_000;
const FROM_MS = 45_600_000;
const MOST_INPUT_TOKENS = 8_000;
const MOST_OUTPUT_TOKENS = 1_000;

/** A request of the load; `atMs` since its beginning. */
export interface Sent {
  readonly atMs: number;
  readonly user: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costMs: number;
}

export interface FloodedLoad {
  /** The busiest client first. */
  readonly users: readonly string[];
  /** In the order of time; what is kept of it when a load asks for so much GPU time, ms, or for all that there is. */
  asking(costMs: number): Sent[];
}

/** The flooder's index. */
export const FLOODER = 0;

/** Draws `durationMs`, at most ten minutes, of all clients. The same seed gives the same load. Longer prompts and answers are cut. */
export async function floodedLoad(seed: number, durationMs: number, price: (inputTokens: number, outputTokens: number) => number): Promise<FloodedLoad> {
  const stream = servegenStream(await readServegen(M_LARGE));
  const lot = seededRandom(seed);
  const drawn: (Sent & { readonly lot: number })[] = [];
  for (const { atMs, sender, inputTokens, outputTokens } of stream.requests(seed, FROM_MS)) {
    if (atMs >= FROM_MS + durationMs) break;
    const [input, output] = [Math.min(Math.max(1, inputTokens), MOST_INPUT_TOKENS), Math.min(Math.max(1, outputTokens), MOST_OUTPUT_TOKENS)];
    drawn.push({ atMs: atMs - FROM_MS, user: sender, inputTokens: input, outputTokens: output, costMs: price(input, output), lot: lot() });
  }
  const byLot = [...drawn].sort((a, b) => a.lot - b.lot);
  return {
    users: stream.senders,
    asking(costMs) {
      let sumMs = 0;
      const kept = byLot.findIndex((one) => (sumMs += one.costMs) >= costMs);
      return (kept < 0 ? byLot : byLot.slice(0, kept + 1)).toSorted((a, b) => a.atMs - b.atMs);
    },
  };
}
