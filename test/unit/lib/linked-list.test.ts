import { describe, expect, test } from "@jest/globals";
import { LinkedList } from "../../../src/lib/linked-list.js";

function listOf<T>(...values: T[]): LinkedList<T> {
  const list = new LinkedList<T>();
  for (const value of values) list.append(value);
  return list;
}

describe("LinkedList", () => {
  test("keeps the order of appends", () => {
    const list = listOf(1, 2, 3);
    expect([...list]).toEqual([1, 2, 3]);
    expect([list.head?.value, list.tail?.value, list.size]).toEqual([1, 3, 3]);
  });

  test("inserts before any entry, and at the end before none", () => {
    const list = listOf("b", "d");
    list.insertBefore(list.head, "a");
    list.insertBefore(list.tail, "c");
    list.insertBefore(null, "e");
    expect([...list]).toEqual(["a", "b", "c", "d", "e"]);
  });

  test.each([
    [0, [2, 3]],
    [1, [1, 3]],
    [2, [1, 2]],
  ])("takes out entry %i", (place, left) => {
    const list = new LinkedList<number>();
    const entries = [1, 2, 3].map((value) => list.append(value));
    list.remove(entries[place]!);
    expect([...list]).toEqual(left);
    expect([list.head?.value, list.tail?.value]).toEqual([left[0], left[1]]);
  });

  test("takes an entry out once, and none of another list", () => {
    const list = listOf(1);
    const other = listOf(2);
    const entry = list.head!;
    other.remove(entry);
    list.remove(entry);
    list.remove(entry);
    expect([list.size, other.size, list.head, list.tail, entry.list]).toEqual([0, 1, null, null, null]);
  });
});
