import { access, constants, readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { findDataFiles } from "../dataset/reading/findDataFiles.ts";

/** Checks that cost nothing and save a start: everything that is said here would otherwise be said after minutes. */
export async function preflight(config: RunConfig): Promise<void> {
  checkListener(config);
  if (config.engine !== "onnx") {
    throw new CoordError("CONFIG_INVALID", `--engine ${config.engine} is not available in this version; use onnx.`);
  }
  if (config.evalData !== undefined && config.evalSplit > 0) {
    throw new CoordError("CONFIG_INVALID", "Give either --eval-data or --eval-split, not both.");
  }
  await checkModel(config.model!);
  await findDataFiles(config.data!, "--data");
  if (config.evalData !== undefined) await findDataFiles(config.evalData, "--eval-data");
}

function checkListener({ insecure, listen, tlsCert, tlsKey }: RunConfig): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new CoordError("CONFIG_INVALID", "--tls-cert and --tls-key go together; one of them is missing.");
  }
  const loopback = listen === "localhost" || listen === "::1" || (isIP(listen) === 4 && listen.startsWith("127."));
  if (!loopback && tlsCert === undefined && !insecure) {
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      `--listen ${listen} opens the coordinator to the network without TLS; give --tls-cert, --tls-key and --tls-ca, or say --insecure.`,
    );
  }
}

async function checkModel(model: string): Promise<void> {
  const found = await stat(model).catch(() => undefined);
  if (!found?.isDirectory()) {
    throw new CoordError(
      "MODEL_INVALID",
      `There is no model directory ${model}; --model wants a HuggingFace-format directory with config.json, .safetensors and tokenizer.json.`,
    );
  }
  for (const name of ["config.json", "tokenizer.json"]) {
    await access(join(model, name), constants.R_OK).catch((cause: unknown) => {
      throw new CoordError("MODEL_INVALID", `The model directory ${model} has no readable ${name}.`, { cause });
    });
  }
  try {
    JSON.parse(await readFile(join(model, "config.json"), "utf8"));
  } catch (cause) {
    throw new CoordError("MODEL_INVALID", `${join(model, "config.json")} is not valid JSON.`, { cause });
  }
}
