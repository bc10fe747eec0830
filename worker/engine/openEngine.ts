import { assertNever } from "../../shared/errors.ts";
import type { Engine } from "./engine.ts";
import type { EngineThreadData } from "./engineMessages.ts";

type Opening = Pick<EngineThreadData, "device" | "engine" | "execution" | "modelDirectory" | "threads" | "trainable">;

/** Opens an engine in this thread; its library is loaded only now. Throws MODEL_INVALID or ENGINE_FAILED. */
export async function openEngine(opening: Opening, onNote: (line: string) => void): Promise<Engine> {
  const { device, engine, execution, modelDirectory, threads, trainable } = opening;
  switch (engine) {
    case "onnx": {
      const { openOnnxEngine } = await import("./onnx/openOnnxEngine.ts");
      return openOnnxEngine(modelDirectory, trainable, threads, { device, execution, onNote });
    }
    case "tfjs": {
      const { openTfjsEngine } = await import("./tfjs/openTfjsEngine.ts");
      return openTfjsEngine(modelDirectory, trainable, { device, onNote });
    }
    default:
      return assertNever(engine);
  }
}
