// An invariant of the simulation does not hold.

export class Violation extends Error {
  override readonly name = "Violation";
  /** Name of the function that found it. */
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(detail);
    this.invariant = invariant;
  }
}
