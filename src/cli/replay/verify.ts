// After a replay: asks the router again for every request that ended and compares. A request whose end is another one now
// has ended twice; one that is unknown now was lost.
import { status } from "@grpc/grpc-js";

import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../api/client.js";
import { isServiceError } from "../failure.js";
import { timeMs } from "../quantity-text.js";
import type { RequestOutcome } from "./outcome.js";

const PARALLEL = 64;
const STATUS_DEADLINE_MS = 30_000;

export interface Verification {
  readonly asked: number;
  /** Ids whose end is another one now; the first hundred. */
  readonly changed: readonly string[];
  /** Ids that the router no longer knows; the first hundred. */
  readonly unknown: readonly string[];
  /** Questions that were not answered. */
  readonly unanswered: number;
}

/** Asks for all outcomes with an end and raises `ends` of those that changed, sets `lost` on those unknown. */
export async function verifyEnds(client: Pick<RouterClient, "status">, outcomes: readonly RequestOutcome[]): Promise<Verification> {
  const changed: string[] = [];
  const unknown: string[] = [];
  let unanswered = 0;
  const ended = outcomes.filter((outcome) => outcome.ends > 0);
  const queue = ended.values();
  const worker = async (): Promise<void> => {
    for (const outcome of queue) {
      try {
        const { request } = await client.status({ requestId: outcome.requestId }, { deadlineMs: STATUS_DEADLINE_MS });
        const state = RequestState[request?.state ?? 0]?.toLowerCase();
        if (state === outcome.fate && timeMs(request?.completionTime) === outcome.completedAtMs) continue;
        outcome.ends += 1;
        if (changed.length < 100) changed.push(outcome.requestId);
      } catch (error) {
        if (isServiceError(error) && error.code === status.NOT_FOUND) {
          outcome.fate = "lost";
          if (unknown.length < 100) unknown.push(outcome.requestId);
        } else {
          unanswered += 1;
        }
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return { asked: ended.length, changed, unknown, unanswered };
}
