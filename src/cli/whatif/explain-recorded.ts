// `explain --recording`: the decisions on one request as they were, each made again from the recording.
import { ExplainResponseSchema } from "../../../gen/gpurouter/v1/router_pb.js";
import { explainResponse } from "../../api/to-proto/decision.js";
import { Recording } from "../../recording/reader.js";
import { mismatch, replay } from "../../recording/replay.js";
import type { Fact } from "../../recording/step.js";
import { decisionText } from "../decision-text.js";
import { CliFailure, ExitCode } from "../failure.js";
import { jsonLine } from "../json-output.js";
import { printable } from "../quantity-text.js";
import type { CommandContext } from "../router-command.js";
import { styleFor } from "../style.js";
import { write } from "../terminal.js";
import { readable } from "./run-whatif.js";

type Placed = Extract<Fact, { kind: "placed" }>;

/** Gives the exit code: 1 when a decision is not the same now. */
export async function explainRecorded({ terminal }: CommandContext, file: string, requestId: string, json: boolean): Promise<number> {
  const style = styleFor(terminal.stdout, terminal.env);
  let found = 0;
  let equal = true;
  await readable(async () => {
    const recording = await Recording.open(file);
    for await (const { recorded, remade } of replay(recording)) {
      const was = placementOf(recorded.facts, requestId);
      if (!was) continue;
      found += 1;
      const now = placementOf(remade, requestId);
      const difference = mismatch(was, now, "decision");
      equal &&= difference === null;
      const response = explainResponse(was.decision, false);
      if (json) {
        await write(terminal.stdout, jsonLine(ExplainResponseSchema, response));
        continue;
      }
      const again = difference === null ? style.green("The same when made again from the recording.") : style.red(`Not the same when made again: ${printable(JSON.stringify(difference))}`);
      await write(terminal.stdout, `${style.dim(`Attempt ${was.attempt}, ${new Date(recorded.atMs).toISOString()}`)}\n${decisionText(response, style)}${again}\n\n`);
    }
  });
  if (found === 0) throw new CliFailure(`${file} holds no decision on ${requestId}: it was not placed while the recording ran`);
  return equal ? ExitCode.ok : ExitCode.failed;
}

function placementOf(facts: readonly Fact[], requestId: string): Placed | undefined {
  return facts.find((fact): fact is Placed => fact.kind === "placed" && fact.requestId === requestId);
}
