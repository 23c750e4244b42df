// The contracts say what they mean: every service, method, message and enum of ours has a comment, every number a unit.
// `buf lint` (in `npm run lint`) holds the rest.
import { expect, test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { filesLike, linesOf, ROOT } from "./files.js";

test("every service, method, message and enum of gpurouter has a comment", () => {
  const rules = { use: ["COMMENT_SERVICE", "COMMENT_RPC", "COMMENT_MESSAGE", "COMMENT_ENUM"], ignore: ["proto/buf", "proto/google", "proto/grpc"] };
  const config = JSON.stringify({ version: "v2", modules: [{ path: "proto", lint: rules }] });
  const { stdout, stderr, status } = spawnSync(process.execPath, [path.join(ROOT, "node_modules/@bufbuild/buf/bin/buf"), "lint", "--config", config], { cwd: ROOT, encoding: "utf8" });
  expect({ status, findings: stdout || stderr }).toEqual({ status: 0, findings: "" });
});

/** Counts and names of things, which have no unit. */
const UNITLESS = /^(priority|index|attempt|attempts|epoch|highest_epoch|pid|seed|sequence|considered|removed|weight|value|score|fraction|progress|xid|ecc_corrected|ecc_uncorrected|clock_event_reasons|performance_index|error_rate|exit_code|queue_position|page_size|max_batch_size|compute_units|multiprocessor_count|(active|queued)_requests|offset|data|gpus|running|waiting|kv_use|beat|heard_beat|callback_id|tries|pending|retried|limit|used|remaining|completed|failed|cancelled|refused|(concurrent|priority)_requests|requests|requests_per_(minute|day)|\w+_limit|min_batch_size_per_gpu|outcomes|mean_relative_error|within_p90)$/;

test("a number says its unit in its name: _ms, _mib, _percent, _celsius, _watts, _seconds, _bytes", () => {
  const bare = filesLike(/^proto\/gpurouter\/.*\.proto$/).flatMap((file) =>
    linesOf(file).flatMap((line, index) => {
      const name = /^\s*(?:optional )?(?:u?int32|u?int64|float|double) (\w+) =/.exec(line)?.[1];
      const clear = name === undefined || /_(ms|mib|percent|celsius|watts|seconds|bytes|size|tokens|ratio)$/.test(name) || UNITLESS.test(name);
      return clear ? [] : [`${file}:${index + 1}: ${name}`];
    }),
  );
  expect(bare).toEqual([]);
});
