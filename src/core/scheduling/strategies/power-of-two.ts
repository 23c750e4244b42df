import { seededRandom } from "../../../lib/random.js";
import type { Strategy } from "../contract.js";
import { outstanding } from "../scorers/outstanding.js";

/** Keeps the draw apart from that of the tie-break, which comes of the same seed. */
const SALT = 0x2545f491;

/** Of two GPUs drawn at random the one with fewer requests: what routers do that must not look at all (Mitzenmacher 2001; Envoy). */
export const powerOfTwo: Strategy = {
  name: "power_of_two",
  sample(ask, candidates, count) {
    if (count <= 2) return count;
    const random = seededRandom(ask.seed ^ SALT);
    const first = Math.floor(random() * count);
    const other = Math.floor(random() * (count - 1));
    const second = other < first ? other : other + 1;
    const [a, b] = [candidates[first]!, candidates[second]!];
    candidates[0] = a;
    candidates[1] = b;
    return 2;
  },
  scorers: [{ scorer: outstanding, weight: -1 }],
};
