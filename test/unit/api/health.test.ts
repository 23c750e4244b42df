import { describe, expect, test } from "@jest/globals";
import * as grpc from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Status,
  HealthListRequestSchema,
  type HealthCheckResponse,
  type HealthListResponse,
} from "../../../gen/grpc/health/v1/health_pb.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";
import { afterThisTest, serveGrpc } from "./serving.js";

const definition = grpcServiceDefinition(Health);

function connect(address: string) {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  afterThisTest(() => client.close());
  return {
    check: (service: string) =>
      new Promise<HealthCheckResponse | undefined>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = definition.check;
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, create(HealthCheckRequestSchema, { service }), (error, response) =>
          error ? reject(error) : resolve(response),
        );
      }),
    list: () =>
      new Promise<HealthListResponse | undefined>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = definition.list;
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, create(HealthListRequestSchema), (error, response) =>
          error ? reject(error) : resolve(response),
        );
      }),
    watch: (service: string): AsyncIterator<HealthCheckResponse> => {
      const { path, requestSerialize, responseDeserialize } = definition.watch;
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, create(HealthCheckRequestSchema, { service }));
      call.on("error", () => {});
      return (call as AsyncIterable<HealthCheckResponse>)[Symbol.asyncIterator]();
    },
  };
}

const statusOf = async (watch: AsyncIterator<HealthCheckResponse>): Promise<Status> => ((await watch.next()).value as HealthCheckResponse).status;

describe("grpc.health.v1", () => {
  test.each(["", "gpurouter.v1.RouterService"])("Check of %p is SERVING", async (service) => {
    const { address } = await serveGrpc();
    expect(await connect(address).check(service)).toMatchObject({ status: Status.SERVING });
  });

  test("Check of an unknown service is NOT_FOUND", async () => {
    const { address } = await serveGrpc();
    await expect(connect(address).check("nobody.Service")).rejects.toMatchObject({
      code: grpc.status.NOT_FOUND,
      details: 'service: "nobody.Service" is not served here',
    });
  });

  test("List names the server and each service", async () => {
    const { address } = await serveGrpc();
    const statuses = (await connect(address).list())?.statuses ?? {};
    expect(Object.keys(statuses).toSorted()).toEqual(["", "gpurouter.v1.RouterService"]);
  });

  test("Watch tells the present status and then each change, once", async () => {
    const { address, server } = await serveGrpc();
    const watch = connect(address).watch("");
    expect(await statusOf(watch)).toBe(Status.SERVING);
    server.health.setServing(true);
    server.health.setServing(false);
    expect(await statusOf(watch)).toBe(Status.NOT_SERVING);
    server.health.setServing(true);
    expect(await statusOf(watch)).toBe(Status.SERVING);
  });

  test("Watch of an unknown service says so and stays", async () => {
    const { address } = await serveGrpc();
    expect(await statusOf(connect(address).watch("nobody.Service"))).toBe(Status.SERVICE_UNKNOWN);
  });

  test("a drain tells watchers before it closes, and answers Check meanwhile", async () => {
    const { address, server, client, router } = await serveGrpc();
    const watch = connect(address).watch("gpurouter.v1.RouterService");
    expect(await statusOf(watch)).toBe(Status.SERVING);
    let finish: () => void = () => {};
    const arrived = new Promise<void>((resolve) => {
      router.outcome = () => {
        resolve();
        return new Promise((answer) => (finish = () => answer({ kind: "draining" })));
      };
    });
    const running = client.route({ modelId: "m" }).catch((error: unknown) => error);
    await arrived;
    const drained = server.drain(20_000);
    expect(await statusOf(watch)).toBe(Status.NOT_SERVING);
    expect(await connect(address).check("")).toMatchObject({ status: Status.NOT_SERVING });
    finish();
    await running;
    await expect(watch.next()).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    await drained;
  });
});
