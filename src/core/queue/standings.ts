// Which classes of waiting requests are worth trying, and against what: see `Standing`. Part of the waiting queue; the dispatcher says what
// it found out.
import { tokensOf } from "./class-key.js";
import type { EligibilityClass, Standing } from "./eligibility-class.js";

export class Standings {
  readonly #by: { readonly [S in Standing]: Set<EligibilityClass> } = { open: new Set(), refused: new Set(), hopeless: new Set(), held: new Set() };

  get open(): ReadonlySet<EligibilityClass> {
    return this.#by.open;
  }

  get refused(): ReadonlySet<EligibilityClass> {
    return this.#by.refused;
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
    of.healsWithTime = healsWithTime;
    this.#stand(of, standing);
  }

  /** Gives the hopeless another chance: GPUs or runners have changed. */
  reopenHopeless(): void {
    for (const of of this.#by.hopeless) this.#open(of);
  }

  /** Gives those another chance that only the clock keeps out. */
  reopenHealing(): void {
    for (const of of this.#by.refused) if (of.healsWithTime) this.#open(of);
  }

  /** Whose turn it is has changed: what was refused to the old head may fit a new one that needs less; or quotas hold all, or no longer. */
  judge(of: EligibilityClass): void {
    if (!of.hasHead) this.#stand(of, "held");
    else if (of.standing === "held") this.#open(of);
    else if (of.standing !== "open") {
      const { estimate } = of.head;
      if (estimate.memoryMib < of.refusedMib || tokensOf(estimate) < of.refusedTokens) this.#open(of);
    }
  }

  #open(of: EligibilityClass): void {
    of.refusedMib = Number.POSITIVE_INFINITY;
    of.refusedTokens = Number.POSITIVE_INFINITY;
    this.#stand(of, "open");
  }

  #stand(of: EligibilityClass, standing: Standing): void {
    this.#by[of.standing].delete(of);
    of.standing = standing;
    this.#by[standing].add(of);
  }
}
