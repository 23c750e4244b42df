// How much of its source each part of a scenario takes, as copies of it: from the amount that is asked for and what the sources' work is.
// Called by build.ts once all sources are read.
import { assert } from "../../lib/assert.js";
import type { ScenarioPart } from "./scenario.js";
import { TraceError } from "./trace-error.js";

/** A part, and the nominal GPU time that all of its source asks for a second, ms. */
export interface Rated {
  readonly part: ScenarioPart;
  readonly workRate: number;
}

/** More would be a trace of a few requests made into a flood. */
const MOST_COPIES = 10_000;

/** Copies of the part's source, fractions for a share of its requests; above 0. Throws a `TraceError` when there is no such number. */
export function copiesOf(part: ScenarioPart, all: readonly Rated[], fleetGpus: number): number {
  return copies(part, all, fleetGpus, []);
}

function copies(part: ScenarioPart, all: readonly Rated[], fleetGpus: number, asking: readonly string[]): number {
  const { name, amount } = part;
  if (asking.includes(name)) throw new TraceError(`the amount of the part "${name}" is said by that of "${asking.join('", of "')}", and that by its own: give one of them a share`);
  if (amount.kind === "share") return within(part, amount.share);
  const own = all.find((each) => each.part === part);
  assert(own !== undefined, "the part is one of all");
  if (own.workRate === 0) throw new TraceError(`the part "${name}" is to have work, but the requests of ${part.source} have none, no tokens and no time: give it an amount of kind share`);
  if (amount.kind === "gpus") return within(part, (amount.share * fleetGpus * 1000) / own.workRate);
  const others = all.filter((each) => amount.of.includes(each.part.name)).map((each) => each.workRate * copies(each.part, all, fleetGpus, [...asking, name]));
  const wanted = amount.ratio * others.reduce((sum, rate) => sum + rate, 0);
  if (wanted === 0) throw new TraceError(`the part "${name}" is to have a ratio of the work of "${amount.of.join('", "')}", which has none, no tokens and no time: give it an amount of kind share`);
  return within(part, wanted / own.workRate);
}

function within({ name, source }: ScenarioPart, count: number): number {
  if (count <= MOST_COPIES) return count;
  throw new TraceError(`the part "${name}" would need ${Math.round(count)} copies of ${source}, more than ${MOST_COPIES}: ask for less, or give it a source with more work`);
}
