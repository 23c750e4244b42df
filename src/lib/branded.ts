// A string that the compiler will not mix up with another kind of string.
declare const brand: unique symbol;

/** `T` marked as `B`; make one with `as`, at the one place where the value is known to be a `B`. */
export type Branded<T, B extends string> = T & { readonly [brand]: B };
