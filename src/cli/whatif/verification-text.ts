// The outcome of `whatif --verify`: how much was the same, and the first thing that was not, in full.
import type { Verification, ReplayedStep } from "../../recording/replay.js";
import type { Ending, Fact, RecordingHeader } from "../../recording/step.js";
import { packageVersion } from "../package-version.js";
import { countText, durationText, printable } from "../quantity-text.js";
import type { Style } from "../style.js";

export function verificationText(header: RecordingHeader, result: Verification, tookMs: number, style: Style): string {
  const { steps, decisions, equalDecisions, first, ending, digest } = result;
  const perSecond = tookMs > 0 ? `, ${countText((steps / tookMs) * 1000)} events per second` : "";
  const same = first === null && (digest === null || digest.recorded === digest.remade);
  const verdict = same ? style.green(`All ${countText(decisions)} decisions are the same to the last bit.`) : style.red(`${countText(equalDecisions)} of ${countText(decisions)} decisions are the same; then one is not.`);
  return [
    `${countText(steps)} events since ${new Date(header.startedAtMs).toISOString()}, made again in ${durationText(tookMs)}${perSecond}`,
    endingText(ending),
    ...versions(header),
    verdict,
    ...(first ? differenceText(first, style) : []),
    ...(first === null && digest && digest.recorded !== digest.remade ? [`The state's digest at the end is ${digest.remade}; ${digest.recorded} was recorded.`] : []),
    ...(same && digest ? [style.dim(`The state at the end is the same too (digest ${digest.recorded}).`)] : []),
    "",
  ].join("\n");
}

export function verificationJson(header: RecordingHeader, { first, ...result }: Verification): string {
  const { settings: _settings, snapshot: _snapshot, ...about } = header;
  const difference = first && { event: first.recorded.number, at_ms: first.recorded.atMs, kind: first.recorded.event.kind, ...first.difference, recorded_facts: first.recorded.facts.map(plain), remade_facts: first.remade.map(plain) };
  return `${JSON.stringify({ ...about, ...result, difference }, null, 2)}\n`;
}

function endingText(ending: Ending): string {
  switch (ending.kind) {
    case "stopped":
      return "The recording ends with a clean stop of the router.";
    case "limit":
      return "The recording ends at its size limit.";
    case "cut":
      return `The recording was cut: the router did not get to end it${ending.droppedBytes > 0 ? `; ${countText(ending.droppedBytes)} bytes of an entry that is not whole are left out` : ""}.`;
  }
}

/** Other versions may decide otherwise on purpose. */
function versions({ version, node }: RecordingHeader): string[] {
  const ours = packageVersion();
  if (version === ours && node === process.version) return [];
  return [`Recorded by gpu-router ${printable(version)} on Node ${printable(node)}; this is ${ours} on ${process.version}, which may decide otherwise.`];
}

function differenceText({ recorded, remade, difference }: ReplayedStep, style: Style): string[] {
  if (!difference) return [];
  return [
    "",
    `Event ${countText(recorded.number)} at ${new Date(recorded.atMs).toISOString()} (${recorded.event.kind}): ${printable(difference.path)}`,
    `  recorded  ${printable(text(difference.recorded))}`,
    `  now       ${printable(text(difference.remade))}`,
    "",
    style.bold("As recorded:"),
    ...recorded.facts.map((fact) => printable(text(plain(fact)))),
    style.bold("As made now:"),
    ...remade.map((fact) => printable(text(plain(fact)))),
  ];
}

function text(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

/** A request without the bytes that stand for its payload. */
function plain(fact: Fact): object {
  return fact.kind === "accepted" ? { ...fact, spec: { ...fact.spec, payload: `${fact.spec.payload.byteLength} bytes` } } : fact;
}
