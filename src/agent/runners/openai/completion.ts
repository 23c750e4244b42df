// Puts a completion together from the chunks of a stream, or from the one answer of a server that does not stream.
// Called by `call.ts`. Trusts no field: servers differ, and an unknown shape is skipped, never an exception.
import { isRecord } from "../json-record.js";

/** What one chunk brought. */
export type ChunkEffect =
  /** Text of the first choice, for live output; "" for chunks without. */
  | { readonly kind: "text"; readonly text: string }
  /** The server reports a fault inside a stream that began with 200. `status` is 0 when it names none. */
  | { readonly kind: "error"; readonly status: number; readonly message: string }
  | { readonly kind: "too_large" };

interface ToolCall {
  id: string;
  type: string;
  readonly function: { name: string; arguments: string };
}

interface Choice {
  text: string;
  reasoning: string;
  finishReason: string | null;
  readonly toolCalls: Map<number, ToolCall>;
}

/** Tokens as the server counted them; 0 when it did not say. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Choices and tool calls per completion that are kept; OpenAI allows 128 of each. */
const MAX_PARTS = 128;

/** One completion in the making. */
export class Completion {
  readonly #maxChars: number;
  readonly #choices = new Map<number, Choice>();
  #chars = 0;
  #model = "";
  #usage: Record<string, unknown> | null = null;

  /** `maxChars` bounds all text that is kept; UTF-8 needs at least as many bytes, so it can be the bound of the result. */
  constructor(maxChars: number) {
    this.#maxChars = maxChars;
  }

  /** Takes in a parsed chunk (`choices[].delta` or `.text`), or a whole answer (`choices[].message` or `.text`). */
  add(chunk: unknown): ChunkEffect {
    if (!isRecord(chunk)) return { kind: "text", text: "" };
    // vLLM has used both `{"error": {…}}` and `{"object": "error", …}`.
    const faulty = (chunk["error"] !== undefined && chunk["error"] !== null) || chunk["object"] === "error";
    if (faulty) return { kind: "error", ...serverError(chunk) };
    if (typeof chunk["model"] === "string") this.#model = chunk["model"];
    if (isRecord(chunk["usage"])) this.#usage = chunk["usage"];
    let live = "";
    for (const part of records(chunk["choices"])) {
      const index = position(part["index"]);
      const choice = this.#choice(index);
      if (choice === undefined) continue;
      const delta = isRecord(part["delta"]) ? part["delta"] : isRecord(part["message"]) ? part["message"] : part;
      const text = string(delta["content"]) || string(delta["text"]);
      choice.text += text;
      if (index === 0) live += text;
      const reasoning = string(delta["reasoning_content"]) || string(delta["reasoning"]);
      choice.reasoning += reasoning;
      this.#chars += text.length + reasoning.length;
      for (const call of records(delta["tool_calls"])) this.#addToolCall(choice, call);
      if (typeof part["finish_reason"] === "string") choice.finishReason = part["finish_reason"];
    }
    return this.#chars > this.#maxChars ? { kind: "too_large" } : { kind: "text", text: live };
  }

  /** Whether all of `choices` have said why they ended, so that a cut after this loses nothing but usage. */
  finished(choices: number): boolean {
    let finished = 0;
    for (const choice of this.#choices.values()) if (choice.finishReason !== null) finished += 1;
    return finished >= choices;
  }

  get empty(): boolean {
    return this.#chars === 0;
  }

  get usage(): Usage {
    return { inputTokens: count(this.#usage?.["prompt_tokens"]), outputTokens: count(this.#usage?.["completion_tokens"]) };
  }

  /** The result as JSON in UTF-8. `choices` is there only when there is more than one. */
  toJson(): Uint8Array {
    const shown = [...this.#choices].sort(([left], [right]) => left - right).map(([index, choice]) => ({ index, ...shownChoice(choice) }));
    const { index: _, ...first } = shown[0] ?? { index: 0, text: "", finish_reason: null };
    const result = { ...first, usage: this.#usage, model: this.#model, ...(shown.length > 1 ? { choices: shown } : {}) };
    return new TextEncoder().encode(JSON.stringify(result));
  }

  #choice(index: number): Choice | undefined {
    let choice = this.#choices.get(index);
    if (choice === undefined && index < MAX_PARTS) {
      choice = { text: "", reasoning: "", finishReason: null, toolCalls: new Map() };
      this.#choices.set(index, choice);
    }
    return choice;
  }

  /** Names come whole in the first delta of a call, arguments in pieces. */
  #addToolCall(choice: Choice, delta: Record<string, unknown>): void {
    const index = typeof delta["index"] === "number" ? position(delta["index"]) : choice.toolCalls.size;
    if (index >= MAX_PARTS) return;
    const call = choice.toolCalls.get(index) ?? { id: "", type: "function", function: { name: "", arguments: "" } };
    choice.toolCalls.set(index, call);
    const named = isRecord(delta["function"]) ? delta["function"] : {};
    const [id, name, pieces] = [string(delta["id"]), string(named["name"]), string(named["arguments"])];
    if (id !== "") call.id = id;
    call.function.name += name;
    call.function.arguments += pieces;
    this.#chars += id.length + name.length + pieces.length;
  }
}

/** What a server says in an error body: `{"error": {"message", "code"}}`, `{"error": "…"}`, `{"message"}` or `{"detail"}`. */
export function serverError(body: unknown): { readonly status: number; readonly message: string } {
  const outer = isRecord(body) ? body : {};
  const inner = isRecord(outer["error"]) ? outer["error"] : outer;
  const said = [inner["message"], outer["error"], outer["detail"]].find((value) => typeof value === "string" && value !== "");
  const code = Number(inner["code"] ?? inner["status_code"]);
  return { status: Number.isInteger(code) ? code : 0, message: typeof said === "string" ? said : JSON.stringify(body) ?? "" };
}

function shownChoice(choice: Choice): Record<string, unknown> {
  return {
    text: choice.text,
    finish_reason: choice.finishReason,
    ...(choice.reasoning === "" ? {} : { reasoning: choice.reasoning }),
    ...(choice.toolCalls.size === 0 ? {} : { tool_calls: [...choice.toolCalls.values()] }),
  };
}

function records(value: unknown): readonly Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function position(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : 0;
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? Math.trunc(value) : 0;
}
