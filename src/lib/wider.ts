// Columns that grow: typed arrays have the length that they were made with.

type Column = Uint8Array | Uint16Array | Uint32Array | Int16Array | Int32Array | Float64Array;

/** The same column with room for `length` entries; new ones are 0. */
export function wider<T extends Column>(column: T, length: number): T {
  const copy = new (column.constructor as new (length: number) => T)(length);
  copy.set(column);
  return copy;
}
