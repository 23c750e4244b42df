// Mooncake (FAST'25): JSON lines of time, tokens and the chained hashes of the prompt's blocks. Times sit on a 3 s grid.
import { parseObject } from "./parse-object.js";
import { isTokenCount, type TraceFormat } from "./trace-format.js";

// Prompts of 16 Mi tokens have as many blocks of 512.
const MAX_BLOCKS = 32_768;

/** `timestamp` ms, `input_length`, `output_length` tokens, `hash_ids` where the trace has them. */
export const mooncakeJsonl: TraceFormat = {
  name: "Mooncake JSONL",
  calendar: false,
  gridMs: 3000,
  ordered: true,
  heading: null,
  parse(line) {
    const row = parseObject(line);
    if (row === null) return null;
    const { timestamp: atMs, input_length: inputTokens, output_length: outputTokens, hash_ids: hashes } = row;
    if (typeof atMs !== "number" || !Number.isFinite(atMs) || !isTokenCount(inputTokens) || !isTokenCount(outputTokens)) return null;
    if (hashes === undefined) return { atMs, inputTokens, outputTokens };
    return areHashes(hashes) ? { atMs, inputTokens, outputTokens, prefixHashes: hashes } : null;
  },
};

function areHashes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= MAX_BLOCKS && value.every((each) => Number.isInteger(each) && each >= 0 && each <= 0xffff_ffff);
}
