// What is thrown when a trace or a scenario cannot be had or read. Commands print its message as it is.

/** Names the file, and the line where there is one, and says what to do next. */
export class TraceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TraceError";
  }
}

/** The error for a file that could not be opened or decoded. */
export function unreadable(path: string, error: unknown): TraceError {
  return new TraceError(`cannot read the trace ${path}: ${error instanceof Error ? error.message : String(error)}`);
}
