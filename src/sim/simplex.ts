// Linear programmes of a few dozen variables, by the simplex method on a dense tableau.

const TINY = 1e-9;
const MAX_PIVOTS = 10_000;

/**
 * The largest value of `objective · x` with `rows[i] · x <= bounds[i]` and x >= 0. All bounds are 0 or more, so that x = 0 is allowed;
 * Infinity when there is no largest. Bland's rule: it cannot go in circles.
 */
export function maximum(objective: readonly number[], rows: readonly (readonly number[])[], bounds: readonly number[]): number {
  const width = objective.length + rows.length + 1;
  const last = width - 1;
  const tableau = rows.map((row, index) => Float64Array.from({ length: width }, (_, column) => (column === last ? (bounds[index] ?? 0) : column < row.length ? (row[column] ?? 0) : column - row.length === index ? 1 : 0)));
  const gain = Float64Array.from({ length: width }, (_, column) => -(objective[column] ?? 0));
  const basis = rows.map((_, index) => objective.length + index);
  for (let pivots = 0; pivots < MAX_PIVOTS; pivots += 1) {
    const enters = gain.subarray(0, last).findIndex((value) => value < -TINY);
    if (enters < 0) return gain[last]!;
    let leaves = -1;
    let least = Number.POSITIVE_INFINITY;
    tableau.forEach((row, index) => {
      if (row[enters]! <= TINY) return;
      const ratio = row[last]! / row[enters]!;
      if (ratio < least - TINY || (ratio <= least + TINY && leaves >= 0 && basis[index]! < basis[leaves]!)) {
        least = Math.min(least, ratio);
        leaves = index;
      }
    });
    const pivot = tableau[leaves];
    if (!pivot) return Number.POSITIVE_INFINITY;
    const by = pivot[enters]!;
    for (let column = 0; column < width; column += 1) pivot[column]! /= by;
    for (const row of [...tableau, gain]) {
      const factor = row[enters]!;
      if (row === pivot || factor === 0) continue;
      for (let column = 0; column < width; column += 1) row[column]! -= factor * pivot[column]!;
    }
    basis[leaves] = enters;
  }
  throw new Error(`Invariant broken: no end after ${MAX_PIVOTS} pivots`);
}
