// An attempt's name as one text, for maps and sets: by both ends of the protocol.
import type { AttemptRef } from "../../gen/gpurouter/v1/agent_pb.js";

export function attemptKey({ requestId, attempt }: Pick<AttemptRef, "requestId" | "attempt">): string {
  return `${attempt} ${requestId}`;
}
