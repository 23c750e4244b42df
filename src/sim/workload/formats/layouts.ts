// The layouts of the traces that can be read line by line: which columns they have and what the columns mean. Data only; table-format.ts
// reads by it. A new format is an entry here, and a row in the test of all formats.

/** What a column can be. */
export type Field = "time" | "inputTokens" | "outputTokens" | "hashes" | "model" | "sender" | "session" | "gpus" | "duration" | "begun" | "ended";

export type TimeUnit = "s" | "ms" | "us" | "ns";

export interface Layout {
  /** As it is typed in a scenario file. */
  readonly key: string;
  /** As it is shown. */
  readonly name: string;
  /** `json`: one object a line. */
  readonly kind: "csv" | "json" | "any";
  /** By field the names that its column may have, the usual one first. Case, spaces and signs do not matter, and a unit may follow: "ts_ms". */
  readonly columns: Readonly<Partial<Record<Field, readonly string[]>>>;
  /** Fields without which it is another format. */
  readonly needs: readonly Field[];
  /** Of times that are plain numbers and name no unit. */
  readonly unit: TimeUnit;
  /** Of jobs, rows without a GPU or without time are no work and are left out; of requests, coarse times are spread over their grid. */
  readonly of: "requests" | "jobs";
}

const REQUEST: readonly Field[] = ["time", "inputTokens", "outputTokens"];

/** The first whose columns are there is taken: the particular ones come before the general. */
export const LAYOUTS: readonly Layout[] = [
  {
    key: "azure",
    name: "Azure CSV",
    kind: "csv",
    columns: { time: ["TIMESTAMP"], inputTokens: ["ContextTokens"], outputTokens: ["GeneratedTokens"], model: ["Model"], sender: ["User"], session: ["SessionId"] },
    needs: REQUEST,
    unit: "s",
    of: "requests",
  },
  {
    key: "burstgpt",
    name: "BurstGPT CSV",
    kind: "csv",
    columns: { time: ["Timestamp"], inputTokens: ["Request tokens"], outputTokens: ["Response tokens"], model: ["Model"], sender: ["Log Type"], session: ["Session ID"] },
    needs: REQUEST,
    unit: "s",
    of: "requests",
  },
  {
    key: "mooncake",
    name: "Mooncake JSONL",
    kind: "json",
    columns: { time: ["timestamp"], inputTokens: ["input_length"], outputTokens: ["output_length"], hashes: ["hash_ids"], model: ["model"], sender: ["user_id", "user"], session: ["session_id", "chat_id"] },
    needs: REQUEST,
    unit: "ms",
    of: "requests",
  },
  {
    key: "vllm-bench",
    name: "vLLM bench JSONL",
    kind: "json",
    columns: { time: ["arrival_time"], inputTokens: ["input_toks"], outputTokens: ["output_toks"], model: ["model"], session: ["session_id"] },
    needs: REQUEST,
    unit: "s",
    of: "requests",
  },
  {
    key: "openb-pods",
    name: "openb pods CSV",
    kind: "csv",
    columns: { time: ["creation_time"], begun: ["scheduled_time"], ended: ["deletion_time"], gpus: ["num_gpu"], sender: ["qos"] },
    needs: ["time", "begun", "ended", "gpus"],
    unit: "s",
    of: "jobs",
  },
  {
    key: "philly",
    name: "Philly CSV",
    kind: "csv",
    columns: { time: ["timestamp"], duration: ["duration"], gpus: ["num_gpus"], sender: ["cluster", "vc"] },
    needs: ["time", "duration", "gpus"],
    unit: "s",
    of: "jobs",
  },
  {
    key: "requests",
    name: "table of requests",
    kind: "any",
    columns: {
      time: ["time", "timestamp", "arrival_time", "arrived_at", "arrival", "start_time", "ts", "t", "at"],
      inputTokens: ["input_tokens", "prompt_tokens", "context_tokens", "num_prefill_tokens", "input_length", "prompt_len", "input_len"],
      outputTokens: ["output_tokens", "completion_tokens", "generated_tokens", "num_decode_tokens", "output_length", "response_tokens", "output_len"],
      hashes: ["hash_ids", "prefix_hashes", "block_hashes"],
      model: ["model", "model_name", "model_id"],
      sender: ["user", "user_id", "client", "client_id", "tenant"],
      session: ["session", "session_id", "session_key", "conversation_id", "chat_id"],
    },
    needs: REQUEST,
    unit: "s",
    of: "requests",
  },
  {
    key: "jobs",
    name: "table of jobs",
    kind: "any",
    columns: { time: ["time", "timestamp", "submit_time", "submitted_at", "start_time"], duration: ["duration", "run_time", "runtime"], gpus: ["gpus", "num_gpus", "num_gpu", "gpu_num"], sender: ["user", "user_id", "cluster", "vc", "tenant"] },
    needs: ["time", "duration"],
    unit: "s",
    of: "jobs",
  },
];
