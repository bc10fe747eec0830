import { CoordError, isErrorCode } from "../../shared/errors.ts";
import { LeaveReason, type MembershipService } from "../../shared/gen/coord/v1/membership_pb.ts";
import type { Handlers } from "../../shared/rpc/server.ts";
import type { TrainingSession } from "./trainingSession.ts";

/** The calls of a session over gRPC. Workers log at `logLevel`, or at their own where it is empty. `onFailure` hears of workers that gave up for good. */
export function membershipHandlers(
  session: TrainingSession,
  onFailure: (error: CoordError) => void,
  logLevel: () => string = () => "",
): Handlers<typeof MembershipService> {
  return {
    join: (request, { signal }) => session.join(request, signal),
    heartbeat: async (request) => ({ generation: session.heartbeat(request), logLevel: logLevel() }),
    commitStep: (request) => session.commitStep(request),
    leave: async (request) => {
      await session.leave(request);
      if (request.reason === LeaveReason.FAILED) {
        const code = isErrorCode(request.errorCode) ? request.errorCode : "INTERNAL";
        onFailure(new CoordError(code, `Worker ${request.member!.workerId}: ${request.message}`));
      }
      return {};
    },
  };
}
