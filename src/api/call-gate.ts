// Lets calls in, counts those under way, and closes for good: the drain of both servers. Knows nothing of transports.
import { ApiError } from "./outcomes.js";

/** How a call passes: "counted" ones are refused while draining and waited for; "refused" ones are only refused; "free" ones neither. */
export type Admission = "counted" | "refused" | "free";

export class CallGate {
  #draining = false;
  #running = 0;
  #wake: () => void = () => {};
  readonly #streamEnds = new Set<() => void>();

  get draining(): boolean {
    return this.#draining;
  }

  /** Lets a call in; throws ApiError "draining" when it comes too late. Pair with `leave`. */
  enter(admission: Admission): void {
    if (this.#draining && admission !== "free") throw new ApiError({ kind: "draining" });
    if (admission === "counted") this.#running++;
  }

  leave(admission: Admission): void {
    if (admission === "counted" && --this.#running === 0) this.#wake();
  }

  /** Calls `end` when the drain will wait for streams no longer; returns how to take that back. */
  onEnd(end: () => void): () => void {
    this.#streamEnds.add(end);
    return () => this.#streamEnds.delete(end);
  }

  /** Refuses new calls, waits up to `graceMs` for the counted ones, then ends the streams that are left. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const end of this.#streamEnds) end();
  }
}
