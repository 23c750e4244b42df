// Several ordered sequences as one, by a heap of their next items: nothing is held but one item each.
import { Heap } from "../../lib/heap.js";

interface Head<T> {
  item: T;
  readonly rest: Iterator<T>;
  readonly index: number;
}

/** All items in the order of time; items of one time in the order of the sequences. Each sequence must be in order itself. */
export function* mergeInOrder<T extends { readonly atMs: number }>(sequences: readonly Iterable<T>[]): Generator<T, void, undefined> {
  const heap = new Heap<Head<T>>((a, b) => a.item.atMs < b.item.atMs || (a.item.atMs === b.item.atMs && a.index < b.index));
  const open = new Set<Iterator<T>>();
  try {
    for (const [index, sequence] of sequences.entries()) {
      const rest = sequence[Symbol.iterator]();
      open.add(rest);
      const first = rest.next();
      if (first.done === true) open.delete(rest);
      else heap.push({ item: first.value, rest, index });
    }
    for (let head = heap.pop(); head !== undefined; head = heap.pop()) {
      yield head.item;
      const next = head.rest.next();
      if (next.done === true) open.delete(head.rest);
      else {
        head.item = next.value;
        heap.push(head);
      }
    }
  } finally {
    for (const rest of open) rest.return?.();
  }
}
