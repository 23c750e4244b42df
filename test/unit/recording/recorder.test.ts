import { mkdir, open, readFile, stat, writeFile, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { Recording } from "../../../src/recording/reader.js";
import { Recorder } from "../../../src/recording/recorder.js";
import { verify } from "../../../src/recording/replay.js";
import { keptLog, liveBefore, recordedFile, recorderOptions, temporaryFolder } from "./recorded-file.js";

afterEach(() => void jest.restoreAllMocks());

async function opened(file: string, over: Parameters<typeof recorderOptions>[1] = {}): Promise<Recorder> {
  const recorder = await Recorder.open(recorderOptions(file, over));
  if (!recorder) throw new Error("the recorder did not open");
  return recorder;
}

test("what a router did is in the file, to the last decision and the state that it left", async () => {
  const { file, life } = await recordedFile(1, 800);
  const result = await verify(await Recording.open(file));
  expect(result).toMatchObject({ first: null, ending: { kind: "stopped" }, digest: { recorded: life.engine.state.digest(), remade: life.engine.state.digest() } });
  expect(result.decisions).toBe(life.records.filter(({ kind }) => kind === "placed").length);
  expect(result.decisions).toBeGreaterThan(50);
});

test("without being closed, a file has what was written by then, and says that it was cut", async () => {
  const file = path.join(await temporaryFolder(), "life.rec");
  const recorder = await opened(file);
  liveBefore(recorder, 1, 2_000);
  // Full frames go out at once; a timer sends the rest.
  for (let size = -1; size !== (await stat(file)).size; ) {
    size = (await stat(file)).size;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  const result = await verify(await Recording.open(file));
  expect(result).toMatchObject({ first: null, ending: { kind: "cut", droppedBytes: 0 }, digest: null });
  expect(result.steps).toBeGreaterThan(1_500);
  await recorder.close(0);
});

describe("nothing of the work itself is in the file:", () => {
  test("no payload, no result, no reason, no callback; user names unless they are to be hidden", async () => {
    const plain = await readFile((await recordedFile(3, 600)).file, "latin1");
    for (const secret of ["secret reason", "https://example.org/private", "\u0007".repeat(20), "\t".repeat(20), "It ended as failed"]) expect(plain).not.toContain(secret);
    expect(plain).toContain("user-1");
  });

  test("with hashed users neither their names nor those of sessions, and the decisions are still the same", async () => {
    const { file } = await recordedFile(3, 600, { hashUsers: true });
    const text = await readFile(file, "latin1");
    for (let user = 0; user < 5; user += 1) expect(text).not.toMatch(new RegExp(`user-${user}(?![0-9a-f])`));
    const users = new Set<string>();
    for await (const entry of (await Recording.open(file)).entries()) if (entry.kind === "step" && entry.step.event.kind === "submit") users.add(entry.step.event.spec.userId);
    expect(users.size).toBe(5);
    expect((await verify(await Recording.open(file))).first).toBeNull();
  });
});

describe("whatever goes wrong ends the recording and not the router:", () => {
  test("at its size limit it stops, loudly, and what is there can be used", async () => {
    const file = path.join(await temporaryFolder(), "life.rec");
    const { log, lines } = keptLog();
    const recorder = await opened(file, { maxBytes: 50_000, log });
    const life = liveBefore(recorder, 5, 2_000);
    await recorder.close(life.engine.state.digest());
    expect(lines.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual(["the recording has reached its size limit and ends here; the router goes on"]);
    expect((await stat(file)).size).toBeLessThan(150_000);
    expect(await verify(await Recording.open(file))).toMatchObject({ first: null, ending: { kind: "limit" } });
  });

  test("a full disk", async () => {
    const file = path.join(await temporaryFolder(), "life.rec");
    const { log, lines } = keptLog();
    const recorder = await opened(file, { log });
    const handle = await open(file);
    const appendFile = jest.spyOn(Object.getPrototypeOf(handle) as FileHandle, "appendFile");
    await handle.close();
    appendFile.mockImplementation(() => Promise.reject(new Error("ENOSPC: no space left on device")));
    const life = liveBefore(recorder, 5, 2_000);
    await recorder.close(life.engine.state.digest());
    expect(lines.filter(({ level }) => level === "error")).toEqual([
      { level: "error", facts: { file, error: "ENOSPC: no space left on device" }, message: "the recording ends here; the router goes on" },
    ]);
    // After the first failure nothing more is tried: it would stand behind a gap.
    expect(appendFile).toHaveBeenCalledTimes(1);
  });

  test("a file that cannot be made", async () => {
    const { log, lines } = keptLog();
    expect(await Recorder.open(recorderOptions(path.join(await temporaryFolder(), "missing", "life.rec"), { log }))).toBeNull();
    expect(lines).toMatchObject([{ level: "error", message: "not recording: the file cannot be made" }]);
  });

  test("an event that cannot be written", async () => {
    const file = path.join(await temporaryFolder(), "life.rec");
    const { log, lines } = keptLog();
    const recorder = await opened(file, { log });
    recorder.recovered(null);
    recorder.stepped({ kind: "cancel", requestId: "r", get reason(): string { throw new Error("boom"); } } as never, 1, []);
    recorder.stepped({ kind: "tick" }, 2, []);
    await recorder.close(0);
    expect(lines.at(-1)).toMatchObject({ level: "error", facts: { error: "boom" } });
  });
});

test("a recording that is there already is kept as FILE.previous", async () => {
  const folder = await temporaryFolder();
  await mkdir(path.join(folder, "deep"));
  const file = path.join(folder, "deep", "life.rec");
  await writeFile(file, "the one before");
  const recorder = await opened(file);
  await recorder.close(0);
  expect(await readFile(`${file}.previous`, "utf8")).toBe("the one before");
  // Ids and users are in it.
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});
