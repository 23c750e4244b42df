// How long an answer a payload asks for, as completion servers read it. Called by the simulated runner where the request itself does not say.

/** Larger payloads are not looked into. */
const MAX_PAYLOAD_BYTES = 1 << 20;
/** What the contract takes as output_tokens. */
const MAX_TOKENS = 16_777_216;

/** `max_completion_tokens` or `max_tokens` of a JSON object; 0 when it says neither. */
export function askedLength(payload: Uint8Array): number {
  if (payload.byteLength === 0 || payload.byteLength > MAX_PAYLOAD_BYTES) return 0;
  try {
    const asked = JSON.parse(new TextDecoder().decode(payload)) as { max_completion_tokens?: unknown; max_tokens?: unknown } | null;
    const tokens = asked?.max_completion_tokens ?? asked?.max_tokens;
    return typeof tokens === "number" && Number.isInteger(tokens) && tokens > 0 && tokens <= MAX_TOKENS ? tokens : 0;
  } catch {
    return 0;
  }
}
