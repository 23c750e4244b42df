// A doubly linked list whose entries know their place, so that any of them leaves in O(1).

/** An entry of a list; `list` is null once it has left. */
export interface ListEntry<T> {
  readonly value: T;
  previous: ListEntry<T> | null;
  next: ListEntry<T> | null;
  list: LinkedList<T> | null;
}

export class LinkedList<T> {
  #head: ListEntry<T> | null = null;
  #tail: ListEntry<T> | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get head(): ListEntry<T> | null {
    return this.#head;
  }

  get tail(): ListEntry<T> | null {
    return this.#tail;
  }

  append(value: T): ListEntry<T> {
    return this.insertBefore(null, value);
  }

  /** Inserts before `place`, or at the end when it is null. */
  insertBefore(place: ListEntry<T> | null, value: T): ListEntry<T> {
    const previous = place ? place.previous : this.#tail;
    const entry: ListEntry<T> = { value, previous, next: place, list: this };
    if (previous) previous.next = entry;
    else this.#head = entry;
    if (place) place.previous = entry;
    else this.#tail = entry;
    this.#size += 1;
    return entry;
  }

  /** Takes `entry` out; does nothing when it has left already. */
  remove(entry: ListEntry<T>): void {
    if (entry.list !== this) return;
    if (entry.previous) entry.previous.next = entry.next;
    else this.#head = entry.next;
    if (entry.next) entry.next.previous = entry.previous;
    else this.#tail = entry.previous;
    entry.list = null;
    entry.previous = null;
    entry.next = null;
    this.#size -= 1;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let entry = this.#head; entry; entry = entry.next) yield entry.value;
  }
}
