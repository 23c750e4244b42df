// Who may call what: one rule for each method and each path, and nothing is served without one. A method of the contract without a rule
// does not compile; a service that is added at run time without rules stops the start.
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { AdminService } from "../../gen/gpurouter/v1/admin_pb.js";
import { AgentService } from "../../gen/gpurouter/v1/agent_pb.js";
import { IdentityService } from "../../gen/gpurouter/v1/identity_pb.js";
import { QuotaService } from "../../gen/gpurouter/v1/quota_pb.js";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { ROLES, type Role } from "../auth/principal.js";

/** "open" asks nobody who he is; a list wants one of its roles. What is another's is refused behind that, by the handlers. */
export type Access = "open" | readonly Role[];

type ServiceAccess<S extends DescService> = { readonly [K in keyof S["method"]]: Access };

const KNOWN: Access = ROLES;
const SENDS: Access = ["user", "admin"];
const SEES: Access = ["user", "reader", "admin"];
const ADMIN: Access = ["admin"];

const ROUTER: ServiceAccess<typeof RouterService> = {
  route: SENDS,
  batchRoute: SENDS,
  cancel: SENDS,
  status: SEES,
  list: SEES,
  watch: SEES,
  explain: SEES,
  gpuStatus: SEES,
  watchGpus: SEES,
};

const IDENTITY: ServiceAccess<typeof IdentityService> = {
  whoAmI: KNOWN,
  listKeys: KNOWN,
  revokeKey: KNOWN,
  createKey: ADMIN,
  putUser: ADMIN,
  listUsers: ADMIN,
  deleteUser: ADMIN,
  listAudit: ADMIN,
};

const ADMINISTRATION: ServiceAccess<typeof AdminService> = {
  setMaintenance: ADMIN,
  listMaintenance: ADMIN,
  restartGpu: ADMIN,
  cancelRequest: ADMIN,
  listFailedCallbacks: ADMIN,
  retryCallback: ADMIN,
};

const QUOTA: ServiceAccess<typeof QuotaService> = { getQuota: SEES, listUsage: SEES, setQuota: ADMIN, listQuotas: ["reader", "admin"] };

const AGENT: ServiceAccess<typeof AgentService> = { connect: ["agent"] };
const HEALTH: ServiceAccess<typeof Health> = { check: "open", list: "open", watch: "open" };
const REFLECTION: ServiceAccess<typeof ServerReflection> = { serverReflectionInfo: KNOWN };

const SERVICES: Readonly<Record<string, Readonly<Record<string, Access>>>> = {
  [RouterService.typeName]: ROUTER,
  [AdminService.typeName]: ADMINISTRATION,
  [IdentityService.typeName]: IDENTITY,
  [QuotaService.typeName]: QUOTA,
  [AgentService.typeName]: AGENT,
  [Health.typeName]: HEALTH,
  [ServerReflection.typeName]: REFLECTION,
  [ServerReflectionAlpha.typeName]: REFLECTION,
};

/** The paths of the HTTP port beside its methods. */
export const HTTP_ACCESS = {
  "GET /health": "open",
  "GET /api/v1/requests/{id}/result": SEES,
} as const satisfies Readonly<Record<string, Access>>;

/** The rule of a method. Throws when there is none: what nobody thought about is not served. */
export function accessTo(method: DescMethod): Access {
  const { typeName } = method.parent;
  const rules = Object.hasOwn(SERVICES, typeName) ? SERVICES[typeName] : undefined;
  const rule = rules && Object.hasOwn(rules, method.localName) ? rules[method.localName] : undefined;
  if (rule === undefined) throw new Error(`${typeName}/${method.name} has no rule: say in src/api/access.ts who may call it.`);
  return rule;
}
