// Programmer errors end here, in production too.

/** Throws when `condition` does not hold. `message` names the broken invariant. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`Invariant broken: ${message}`);
}

/** For the default branch of a switch over a closed union: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`Invariant broken: unexpected ${JSON.stringify(value)}`);
}
