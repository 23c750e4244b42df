// A place in the line of classes that a pass goes through. Made by waiting-queue.ts.
import { isEarlier, type EligibilityClass, type Waiting } from "./eligibility-class.js";

/** A class with what its place in line hangs on. */
export interface Place {
  readonly of: EligibilityClass;
  readonly band: number;
  readonly virtualMs: number;
  readonly head: Waiting;
}

/** Whose turn is first: the higher band, then the lower virtual time, then who is due earlier. */
export function comesBefore(a: Place, b: Place): boolean {
  if (a.band !== b.band) return a.band > b.band;
  if (a.virtualMs !== b.virtualMs) return a.virtualMs < b.virtualMs;
  return isEarlier(a.head, b.head);
}
