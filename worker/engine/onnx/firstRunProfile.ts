import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InferenceSession } from "onnxruntime-node";
import type { Provider } from "./chooseProvider.ts";
import { describeFallback } from "./nodeProviders.ts";

/** Profiles a session's first run, which is the only way that onnxruntime tells where its nodes run. */
export class FirstRunProfile {
  readonly #directory = mkdtempSync(join(tmpdir(), "coord-profile-"));
  readonly #provider: Provider;
  readonly #onNote: (line: string) => void;

  constructor(provider: Provider, onNote: (line: string) => void) {
    this.#provider = provider;
    this.#onNote = onNote;
  }

  /** For the session's options. */
  get prefix(): string {
    return join(this.#directory, "profile");
  }

  /** Ends profiling, says what there is to say and removes what it has written. */
  end(session: InferenceSession): undefined {
    try {
      session.endProfiling();
      for (const file of readdirSync(this.#directory)) {
        const found = describeFallback(readFileSync(join(this.#directory, file), "utf8"), this.#provider);
        if (found !== undefined) this.#onNote(`onnx: ${found}.`);
      }
    } catch (thrown) {
      this.#onNote(
        `onnx: where the nodes run is not known, the profile cannot be read (${(thrown as Error).message}).`,
      );
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }
}
