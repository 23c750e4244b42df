// Cuts a server-sent event stream into the data of its events, however the bytes are chunked.
// Called by `call.ts`. Event names, ids and retry hints are of no use here and are dropped.

/** Events of a stream of bytes. Not reusable after `end()`. */
export class SseParser {
  readonly #maxEventChars: number;
  readonly #decoder = new TextDecoder();
  /** The line that has no end yet. A rope: it is only flattened when its end comes. */
  #line = "";
  #data: string[] = [];
  #dataChars = 0;
  /** The last chunk ended in CR, so an LF at the start of the next belongs to it. */
  #afterCarriageReturn = false;

  /** `maxEventChars` bounds one line, and all data lines of one event together. */
  constructor(maxEventChars: number) {
    this.#maxEventChars = maxEventChars;
  }

  /** The data of every event that `bytes` completes, in order; "too_long" when a bound is passed, and then the parser is spent. */
  push(bytes: Uint8Array): readonly string[] | "too_long" {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The event that the end of the stream cut short of its blank line. Servers that end this way are common. */
  end(): readonly string[] | "too_long" {
    return this.#read(`${this.#decoder.decode()}\n\n`);
  }

  #read(text: string): readonly string[] | "too_long" {
    const events: string[] = [];
    const lineEnd = /\r\n|\r|\n/g;
    if (this.#afterCarriageReturn && text.startsWith("\n")) lineEnd.lastIndex = 1;
    if (text !== "") this.#afterCarriageReturn = text.endsWith("\r");
    let from = lineEnd.lastIndex;
    for (let match = lineEnd.exec(text); match !== null; match = lineEnd.exec(text)) {
      this.#line += text.slice(from, match.index);
      from = lineEnd.lastIndex;
      if (!this.#endLine(events)) return "too_long";
    }
    this.#line += text.slice(from);
    return this.#line.length > this.#maxEventChars ? "too_long" : events;
  }

  /** False when a bound is passed. */
  #endLine(events: string[]): boolean {
    const line = this.#line;
    this.#line = "";
    if (line === "") {
      if (this.#data.length > 0) events.push(this.#data.join("\n"));
      this.#data = [];
      this.#dataChars = 0;
      return true;
    }
    if (line === "data" || line.startsWith("data:")) {
      const value = line.slice(line.charCodeAt(5) === 0x20 ? 6 : 5);
      this.#data.push(value);
      this.#dataChars += line.length;
    }
    return Math.max(line.length, this.#dataChars) <= this.#maxEventChars;
  }
}
