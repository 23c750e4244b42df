// Lets calls in, knows those under way, and closes for good: the drain of both servers. Knows nothing of transports.
import { ApiError } from "./outcomes.js";

/**
 * How a kind of call fares in a drain: "awaited" ones are refused when new and waited for when under way, "unawaited" ones are
 * only refused, "free" ones go on until the end.
 */
export type Admission = "awaited" | "unawaited" | "free";

/** Ends one call from outside, with ApiError "draining". */
export type EndCall = () => void;

export class CallGate {
  #draining = false;
  #allGone: () => void = () => {};
  readonly #awaited = new Set<EndCall>();
  readonly #others = new Set<EndCall>();

  get draining(): boolean {
    return this.#draining;
  }

  /** Lets a call in; throws ApiError "draining" when it comes too late. Pair with `leave` of the same `end`. */
  enter(admission: Admission, end: EndCall): void {
    if (this.#draining && admission !== "free") throw new ApiError({ kind: "draining" });
    (admission === "awaited" ? this.#awaited : this.#others).add(end);
  }

  /** Does nothing for a call that was not let in or has left. */
  leave(end: EndCall): void {
    if (this.#awaited.delete(end)) {
      if (this.#awaited.size === 0) this.#allGone();
    } else this.#others.delete(end);
  }

  /** Refuses new calls, waits up to `graceMs` for those that are waited for, then ends all that are left. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    if (this.#awaited.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#allGone = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const end of [...this.#awaited, ...this.#others]) end();
  }
}
