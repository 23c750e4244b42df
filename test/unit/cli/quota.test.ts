// `gpu-router quota` and `usage`, in-process, against a QuotaService on a real port that keeps what it was asked.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall, type UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  GetQuotaResponseSchema,
  ListQuotasResponseSchema,
  ListUsageResponseSchema,
  QuotaMode,
  QuotaService,
  SetQuotaResponseSchema,
  type ListUsageRequest,
  type QuotaSchema,
  type UsageSchema,
} from "../../../gen/gpurouter/v1/quota_pb.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";
import { run } from "./test-terminal.js";

let server: Server;
let address: string;
let asked: { readonly method: string; readonly request: unknown }[];
/** What each method answers, one after the other; the last one stays. An error has a code. */
let answers: Record<string, object[]>;

const AT = timestampFromMs(Date.UTC(2026, 10, 21, 10));
const ALICE: MessageInitShape<typeof QuotaSchema> = {
  userId: "alice",
  teamId: "research",
  weight: 2,
  mode: QuotaMode.ENFORCE,
  quotas: {
    gpuTime: { limit: 600n, used: 12n, remaining: 588n },
    concurrentRequests: { limit: 7n, used: 7n, remaining: 0n, refused: 93n },
    priorityRequests: { used: 1n },
    gpus: { limit: 2n, used: 2n, remaining: 0n },
    queuedRequests: { used: 40n },
    queuedBytes: { used: 4096n },
    models: { "llama\u001B[31m": { limit: 4n, used: 3n, remaining: 1n } },
  },
  rateLimits: { requestsPerMinute: { limit: 60n, used: 12n, remaining: 48n, resetTime: AT }, requestsPerDay: { used: 400n } },
  gpuTimeResetTime: AT,
  set: { concurrentRequestsLimit: 7n, modelLimits: { llama: 4n }, weight: 2 },
  setBy: "ada",
  setReason: "load test",
  setTime: AT,
};
const TEAM: MessageInitShape<typeof QuotaSchema> = { teamId: "research", quotas: {}, rateLimits: {}, weight: 1, mode: QuotaMode.SHADOW, set: { gpuLimit: 16n }, setBy: "ada", setTime: AT };
const USED: MessageInitShape<typeof UsageSchema> = { userId: "alice", requests: 5n, completed: 2n, failed: 1n, cancelled: 1n, gpuTimeMs: 90_000n, responseTimeMs: 2_500, sinceTime: AT };

function answered<O extends DescMessage>(method: string, schema: O): [string, UntypedServiceImplementation[string]] {
  const handle = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
    asked.push({ method, request: call.request });
    const left = answers[method] ?? [];
    const answer = (left.length > 1 ? left.shift() : left[0]) ?? {};
    if ("code" in answer) callback(answer as never);
    else callback(null, create(schema, answer as MessageInitShape<O>));
  };
  return [method, handle];
}

beforeEach(async () => {
  asked = [];
  answers = { getQuota: [{ quota: ALICE }], setQuota: [{ quota: ALICE }], listQuotas: [{ quotas: [TEAM, ALICE] }], listUsage: [{ users: [USED] }] };
  server = new Server({ "grpc.enable_channelz": 0 });
  server.addService(
    grpcServiceDefinition(QuotaService),
    Object.fromEntries([
      answered("getQuota", GetQuotaResponseSchema),
      answered("setQuota", SetQuotaResponseSchema),
      answered("listQuotas", ListQuotasResponseSchema),
      answered("listUsage", ListUsageResponseSchema),
    ]),
  );
  const port = await new Promise<number>((resolve, reject) => server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  address = `127.0.0.1:${port}`;
});
afterEach(() => server.forceShutdown());

const here = (text: string, ...more: string[]): string[] => [...text.split(" "), ...more, "--router", address];

describe("quota show", () => {
  test("has a line for each limit, with what is used, left and refused, and who set it", async () => {
    const { code, out } = await run(here("quota show alice"));
    expect(code).toBe(0);
    expect(asked).toMatchObject([{ method: "getQuota", request: { subject: { case: "userId", value: "alice" } } }]);
    expect(out).toMatch(/^alice  team research, weight 2\n/);
    expect(out).toMatch(/LIMIT\s+MOST\s+USED\s+LEFT\s+REFUSED\s+RESET/);
    expect(out).toMatch(/GPU time, minutes\s+600\s+12\s+588\s+0\s+2026-11-21 10:00:00/);
    expect(out).toMatch(/requests on GPUs\s+7\s+7\s+0\s+93\s*\n/);
    expect(out).toMatch(/of priority 4 and 5\s+-\s+1\s+-\s+0/);
    expect(out).toMatch(/requests per minute\s+60\s+12\s+48\s+0\s+2026-11-21 10:00:00/);
    expect(out).toMatch(/requests in line\s+-\s+40\s+-/);
    expect(out).toContain("set by ada at 2026-11-21 10:00:00: load test\n");
    // What somebody called his model does not reach the terminal as commands.
    expect(out).not.toContain("\u001B");
  });

  test("of a team says so, and says when limits do not count yet", async () => {
    answers["getQuota"] = [{ quota: TEAM }];
    const { out } = await run(here("quota show research --team"));
    expect(asked[0]?.request).toMatchObject({ subject: { case: "teamId", value: "research" } });
    expect(out).toMatch(/^team research  shadow: what would be refused is counted\n/);
  });

  test("--json is the answer in the contract's words", async () => {
    const { out } = await run(here("quota show alice --json"));
    expect(JSON.parse(out)).toMatchObject({
      quota: {
        user_id: "alice",
        quotas: { concurrent_requests: { limit: "7", used: "7", remaining: "0", refused: "93" }, gpu_time: { limit: "600" } },
        rate_limits: { requests_per_minute: { reset_time: "2026-11-21T10:00:00Z" } },
        mode: "QUOTA_MODE_ENFORCE",
      },
    });
  });

  test("a refusal is told as it came", async () => {
    answers["getQuota"] = [{ code: status.PERMISSION_DENIED, details: 'you are "bob" and see your own quota and use' }];
    const { code, out, err } = await run(here("quota show alice"));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain('you are "bob" and see your own quota and use');
  });
});

describe("quota set", () => {
  test("sends what was given, nothing else, and shows what now is", async () => {
    const limits = "--concurrent 7 --priority 0 --gpus 4 --model llama=4 --model a=b=2 --gpu-time 600 --per-minute 60 --per-day 1000 --queued 50 --queued-bytes 1048576 --weight 0.5";
    const { code, out } = await run(here(`quota set alice ${limits} --in-team research --reason`, "load test"));
    expect(code).toBe(0);
    const given = {
      concurrentRequestsLimit: 7n,
      priorityRequestsLimit: 0n,
      gpuLimit: 4n,
      modelLimits: { llama: 4n, "a=b": 2n },
      gpuTimeLimit: 600n,
      requestsPerMinuteLimit: 60n,
      requestsPerDayLimit: 1_000n,
      queuedRequestsLimit: 50n,
      queuedBytesLimit: 1_048_576n,
      weight: 0.5,
      teamId: "research",
    };
    expect(asked).toMatchObject([{ method: "setQuota", request: { subject: { case: "userId", value: "alice" }, limits: given, reset: false, reason: "load test" } }]);
    expect(out).toMatch(/requests on GPUs\s+7/);
    await run(here("quota set research --team --gpus 16 --json"));
    const [, second] = asked;
    expect(second?.request).toMatchObject({ subject: { case: "teamId", value: "research" }, limits: { gpuLimit: 16n } });
    expect(second?.request).not.toHaveProperty("limits.weight");
  });

  test("--reset alone forgets, and an empty team is no team", async () => {
    await run(here("quota set alice --reset"));
    await run(here("quota set alice --in-team", ""));
    expect(asked).toMatchObject([{ request: { reset: true } }, { request: { reset: false, limits: { teamId: "" } } }]);
  });

  test.each([
    ["quota set alice", "nothing to set"],
    ["quota set research --team --weight 2", "of users, not of teams"],
    ["quota set research --team --in-team other", "of users, not of teams"],
    ["quota set alice --concurrent -1", "--concurrent"],
    ["quota set alice --per-minute many", "--per-minute"],
    ["quota set alice --weight 0", "--weight"],
    ["quota set alice --model llama", "llama-3-70b=4"],
    ["quota set alice --model llama=99999999", "llama-3-70b=4"],
    ["quota set --concurrent 7", "name"],
  ])("%s is wrong use: it says so and asks nobody", async (words, why) => {
    const { code, err } = await run(here(words));
    expect(code).toBe(2);
    expect(err).toContain(why);
    expect(asked).toEqual([]);
  });
});

describe("quota list", () => {
  test("shows what was set as the options that would set it", async () => {
    const { out } = await run(here("quota list"));
    expect(out).toMatch(/NAME\s+KIND\s+TEAM\s+SET\s+BY\s+WHEN\s+WHY/);
    expect(out).toMatch(/research\s+team\s+-\s+gpus 16\s+ada\s+2026-11-21 10:00:00\s+-/);
    expect(out).toMatch(/alice\s+user\s+research\s+concurrent 7, model llama=4, weight 2\s+ada\s+2026-11-21 10:00:00\s+load test/);
  });

  test("fetches every page, as JSON too", async () => {
    answers["listQuotas"] = [{ quotas: [TEAM], nextPageToken: "team:research" }, { quotas: [ALICE] }];
    const { out } = await run(here("quota list --json"));
    expect(asked.map(({ request }) => (request as { pageToken: string }).pageToken)).toEqual(["", "team:research"]);
    expect(JSON.parse(out)).toMatchObject({ quotas: [{ team_id: "research" }, { user_id: "alice" }], next_page_token: "" });
  });

  test("says so when nothing was set", async () => {
    answers["listQuotas"] = [{}];
    expect((await run(here("quota list"))).out).toBe("Nothing was set: everybody has the defaults.\n");
  });
});

describe("usage", () => {
  test("has a line for each user", async () => {
    answers["listUsage"] = [{ users: [USED, { userId: "bob", requests: 1n }] }];
    const { code, out, err } = await run(here("usage"));
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/USER\s+REQUESTS\s+COMPLETED\s+FAILED\s+CANCELLED\s+GPU TIME\s+RESPONSE\s+SINCE/);
    expect(out).toMatch(/alice\s+5\s+2\s+1\s+1\s+1 min 30 s\s+2\.50 s\s+2026-11-21/);
    // There is no mean of nothing.
    expect(out).toMatch(/bob\s+1\s+0\s+0\s+0\s+0 ms\s+-/);
  });

  test("goes on to --limit users and says when there are more; --user asks for one", async () => {
    answers["listUsage"] = [{ users: [USED, USED], nextPageToken: "b" }, { users: [USED], nextPageToken: "c" }];
    const { out, err } = await run(here("usage --limit 3 --json"));
    expect(asked.map(({ request }) => request as ListUsageRequest)).toMatchObject([{ pageSize: 3, pageToken: "" }, { pageSize: 1, pageToken: "b" }]);
    expect(JSON.parse(out)).toMatchObject({ users: [{ user_id: "alice", gpu_time_ms: "90000", response_time_ms: 2500 }, {}, {}], next_page_token: "c" });
    expect(err).toBe("");
    const table = await run(here("usage --limit 1 --user alice"));
    expect(asked[2]?.request).toMatchObject({ userId: "alice", pageSize: 1 });
    expect(table.err).toBe("There are more: raise --limit above 1.\n");
  });

  test("says so when there is nothing", async () => {
    answers["listUsage"] = [{}];
    expect((await run(here("usage"))).out).toBe("No requests yet.\n");
  });
});

test.each(["quota show", "quota set", "quota list", "usage"])("%s --help says what it does, its options and an example", async (command) => {
  const { code, out } = await run([...command.split(" "), "--help"]);
  expect(code).toBe(0);
  expect(out).toMatch(new RegExp(`^Usage: gpu-router ${command}`));
  for (const part of ["--router", "--json", "Examples:", `$ gpu-router ${command}`]) expect(out).toContain(part);
  expect(asked).toEqual([]);
});
