// What somebody may have meant by a word that is none of the known ones. Used where configurations are read; it changes nothing.

/** So many letters of a word say which one it is. */
const BEGINNING = 3;

/** The known word that is most like `word`, however it separates its parts; null when none is like it. */
export function closestWord(word: string, known: readonly string[]): string | null {
  const plain = normalized(word);
  let best: string | null = null;
  let least = Math.max(1, Math.floor(plain.length * 0.4)) + 1;
  for (const each of known) {
    const other = normalized(each);
    const begun = plain.length >= BEGINNING && other.startsWith(plain);
    const distance = begun ? 1 : editDistance(plain, other);
    if (distance >= least) continue;
    least = distance;
    best = each;
  }
  return best;
}

/** `dataDir` and `data-dir` are `data_dir`. */
function normalized(word: string): string {
  return word
    .slice(0, 64)
    .replaceAll(/([a-z\d])([A-Z])/g, "$1_$2")
    .replaceAll("-", "_")
    .toLowerCase();
}

/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other. */
function editDistance(one: string, other: string): number {
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const replaced = (last[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1] ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(replaced, swapped, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    before = last;
    last = row;
  }
  return last[other.length] ?? 0;
}
