// Finds where something stops holding, with few questions: steps that double from a guess, then halving. Each question may take minutes.

/**
 * The largest whole number in [least, most] for which `holds`, taking it that all smaller ones hold too; null when `least` does
 * not. Begins at `from`. Asks one question at a time, so that the same answers always lead to the same questions.
 */
export async function lastThatHolds(holds: (step: number) => Promise<boolean>, { from, least, most, stride }: { readonly from: number; readonly least: number; readonly most: number; readonly stride: number }): Promise<number | null> {
  let step = Math.min(most, Math.max(least, from));
  let low: number | null = null;
  let high: number | null = null;
  for (let jump = stride; low === null || high === null; jump *= 2) {
    if (await holds(step)) {
      low = step;
      if (step === most) return most;
      step = high ?? Math.min(most, step + jump);
    } else {
      high = step;
      if (step === least) return null;
      step = low ?? Math.max(least, step - jump);
    }
    if (low !== null && high !== null) break;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}
