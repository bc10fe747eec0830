import { CoordError } from "../../shared/errors.ts";
import type { Chunk } from "../../shared/gen/coord/v1/common_pb.ts";

type Response<Header> = {
  part: { case: "header"; value: Header } | { case: "chunk"; value: Chunk } | { case: undefined; value?: undefined };
};

/** Takes a download in: a header, then chunks for what `start` makes of it. */
export async function receive<Header, Assembler extends { add(chunk: Chunk): void }>(
  responses: AsyncIterable<Response<Header>>,
  start: (header: Header) => Assembler,
): Promise<{ header: Header; assembler: Assembler }> {
  let received: { header: Header; assembler: Assembler } | undefined;
  for await (const { part } of responses) {
    if (part.case === "header") received = { header: part.value, assembler: start(part.value) };
    else if (part.case === "chunk" && received) received.assembler.add(part.value);
  }
  if (!received) throw new CoordError("INVALID_REQUEST", "The coordinator sent no header.");
  return received;
}
