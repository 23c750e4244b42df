// Which classes of waiting requests are worth trying, and against what: see `Standing`. Part of the waiting queue; the dispatcher says what
// it found out.
import { tokensOf } from "./class-key.js";
import type { EligibilityClass, Standing } from "./eligibility-class.js";
import { RefusedIndex, type FreedGpu } from "./refused-index.js";

export class Standings {
  readonly #open = new Set<EligibilityClass>();
  readonly #refused = new RefusedIndex();
  readonly #hopeless = new Set<EligibilityClass>();
  readonly #by = { open: this.#open, refused: this.#refused, hopeless: this.#hopeless, held: new Set<EligibilityClass>() };

  get open(): ReadonlySet<EligibilityClass> {
    return this.#open;
  }

  get refused(): ReadonlySet<EligibilityClass> {
    return this.#refused.all;
  }

  /** Refused ones that one of these GPUs may serve. */
  refusedFor(freed: readonly FreedGpu[]): Iterable<EligibilityClass> {
    return this.#refused.servableBy(freed);
  }

  add(of: EligibilityClass): void {
    this.#by[of.standing].add(of);
  }

  drop(of: EligibilityClass): void {
    this.#by[of.standing].delete(of);
  }

  /** Notes that the head of a class fitted no GPU. */
  refuse(of: EligibilityClass, standing: "refused" | "hopeless", healsWithTime: boolean): void {
    const { estimate } = of.head;
    of.refusedMib = Math.min(of.refusedMib, estimate.memoryMib);
    of.refusedTokens = Math.min(of.refusedTokens, tokensOf(estimate));
    this.#stand(of, standing, healsWithTime);
  }

  /** What was refused before may fit later without any GPU changing, as has turned out. */
  heals(of: EligibilityClass): void {
    if (!of.healsWithTime) this.#stand(of, of.standing, true);
  }

  /** Gives the hopeless another chance: GPUs or runners have changed. */
  reopenHopeless(): void {
    for (const of of this.#hopeless) this.#reopen(of);
  }

  /** Gives those another chance that only the clock keeps out. */
  reopenHealing(): void {
    for (const of of this.#refused.healing) this.#reopen(of);
  }

  /** Whose turn it is has changed: what was refused to the old head may fit a new one that needs less; or quotas hold all, or no longer. */
  judge(of: EligibilityClass): void {
    if (!of.hasHead) this.#stand(of, "held");
    else if (of.standing === "held") this.#reopen(of);
    else if (of.standing !== "open") {
      const { estimate } = of.head;
      if (estimate.memoryMib < of.refusedMib || tokensOf(estimate) < of.refusedTokens) this.#reopen(of);
    }
  }

  #reopen(of: EligibilityClass): void {
    of.refusedMib = Number.POSITIVE_INFINITY;
    of.refusedTokens = Number.POSITIVE_INFINITY;
    this.#stand(of, "open");
  }

  /** Where the index has it hangs on whether it heals. */
  #stand(of: EligibilityClass, standing: Standing, healsWithTime = of.healsWithTime): void {
    this.#by[of.standing].delete(of);
    of.healsWithTime = healsWithTime;
    of.standing = standing;
    this.#by[standing].add(of);
  }
}
