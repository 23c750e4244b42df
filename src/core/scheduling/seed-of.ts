// The seed of one attempt's decision: the same request and attempt always get the same.
import { hash32 } from "../../lib/random.js";
import type { RequestId } from "../model/ids.js";

export function seedOf(requestId: RequestId, attempt: number): number {
  return hash32(requestId, 0x811c9dc5 ^ attempt);
}
