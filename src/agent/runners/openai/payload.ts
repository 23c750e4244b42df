// Turns the payload of a job into the request that an OpenAI-compatible server gets. Called by `openai.ts`.
// Knows the two end points and what must be forced; every other parameter is the caller's and passes through.
import { isRecord } from "../json-record.js";

export type CompletionRequest =
  | { readonly kind: "request"; readonly path: "/chat/completions" | "/completions"; readonly body: string; readonly choices: number }
  | { readonly kind: "bad_payload"; readonly message: string };

const EXPECTED = 'Send a JSON object with either "messages" (chat) or "prompt" (completion), plus any other OpenAI parameters';

/**
 * Reads a payload. `model` and streaming with usage are forced: the router chose the model, and streaming gives
 * live output, the first-token time and an early notice of a cut connection.
 */
export function completionRequest(payload: Uint8Array, modelId: string): CompletionRequest {
  const bad = (trouble: string): CompletionRequest => ({ kind: "bad_payload", message: `${trouble}. ${EXPECTED}.` });
  if (payload.length === 0) return bad("The payload is empty");
  let parameters: unknown;
  try {
    parameters = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (error) {
    return bad(`The payload is not JSON in UTF-8: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(parameters)) return bad(`The payload is a JSON ${Array.isArray(parameters) ? "array" : typeof parameters}`);
  const chat = parameters["messages"] !== undefined;
  if (chat === (parameters["prompt"] !== undefined)) {
    return bad(`The payload has ${chat ? 'both "messages" and "prompt"' : 'neither "messages" nor "prompt"'}`);
  }
  if (chat && !Array.isArray(parameters["messages"])) return bad('"messages" is not an array');
  if (!chat && typeof parameters["prompt"] !== "string" && !Array.isArray(parameters["prompt"])) {
    return bad('"prompt" is neither a string nor an array');
  }
  const streamOptions = isRecord(parameters["stream_options"]) ? parameters["stream_options"] : {};
  const body = JSON.stringify({
    ...parameters,
    model: modelId,
    stream: true,
    stream_options: { ...streamOptions, include_usage: true },
  });
  const choices = typeof parameters["n"] === "number" && parameters["n"] > 1 ? parameters["n"] : 1;
  return { kind: "request", path: chat ? "/chat/completions" : "/completions", body, choices };
}
