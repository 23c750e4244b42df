// Azure Public Dataset, LLM inference: UTC text with up to nine decimals, tokens in, tokens out.
import { isTokenCount, type TraceFormat } from "./trace-format.js";

const ROW = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|\+00:00)?,(\d+),(\d+)$/;

/** The traces of 2023 and of 2024, which differ in how they write the time. */
export const azureCsv: TraceFormat = {
  name: "Azure CSV",
  calendar: true,
  gridMs: 0,
  ordered: true,
  heading: "TIMESTAMP,ContextTokens,GeneratedTokens",
  parse(line) {
    const match = ROW.exec(line);
    if (match === null) return null;
    const [, date, time, fraction = "", input, output] = match;
    const atMs = Date.parse(`${date}T${time}Z`) + Number(`0${fraction}`) * 1000;
    const inputTokens = Number(input);
    const outputTokens = Number(output);
    return Number.isFinite(atMs) && isTokenCount(inputTokens) && isTokenCount(outputTokens) ? { atMs, inputTokens, outputTokens } : null;
  },
};
