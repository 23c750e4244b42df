// Who asked for something that is recorded with its author.

export interface Caller {
  /** As authenticated; "anonymous" while there is no authentication. */
  readonly name: string;
  /** Network address; "" when unknown. */
  readonly address: string;
}
