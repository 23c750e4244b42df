// Maps with a bound, from which what was put longest ago goes first.

/** Puts an entry last, also when it is there already; with more than `most` the first one goes. */
export function putLast<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= most) return;
  for (const first of map.keys()) {
    map.delete(first);
    return;
  }
}
