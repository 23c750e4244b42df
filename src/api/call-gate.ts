// Lets calls in, knows those under way, and closes for good: the drain of both servers. Knows nothing of transports.
//
// Calls under way stand in lists and not in a Set, whose discarded tables keep calls that are long over from being collected
// young (see lib/churn-map.ts).
import type { DescMethod } from "@bufbuild/protobuf";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import { LinkedList, type ListEntry } from "../lib/linked-list.js";
import { ApiError } from "./outcomes.js";

/**
 * How a kind of call fares in a drain: "awaited" ones are refused when new and waited for when under way, "unawaited" ones are
 * only refused, "free" ones go on until the end.
 */
export type Admission = "awaited" | "unawaited" | "free";

/** Of a method that does work. WatchGpus has no end that could be waited for. */
export function admissionOfWork(method: DescMethod): Admission {
  return method === RouterService.method.watchGpus ? "unawaited" : "awaited";
}

/** Ends one call from outside, with ApiError "draining". */
export type EndCall = () => void;

/** What a call that was let in leaves with. */
export type Pass = ListEntry<EndCall>;

export class CallGate {
  #draining = false;
  #allGone: () => void = () => {};
  readonly #awaited = new LinkedList<EndCall>();
  readonly #others = new LinkedList<EndCall>();

  get draining(): boolean {
    return this.#draining;
  }

  /** Lets a call in; throws ApiError "draining" when it comes too late. Pair with `leave`. */
  enter(admission: Admission, end: EndCall): Pass {
    if (this.#draining && admission !== "free") throw new ApiError({ kind: "draining" });
    return (admission === "awaited" ? this.#awaited : this.#others).append(end);
  }

  /** Does nothing for a call that was not let in (null) or has left. */
  leave(pass: Pass | null): void {
    const among = pass?.list;
    if (!among) return;
    among.remove(pass);
    if (among === this.#awaited && among.size === 0) this.#allGone();
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
