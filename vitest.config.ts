import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          environment: "node",
          testTimeout: 30_000,
          // A process per file spent most of its time loading the same modules again; no file changes what others see.
          isolate: false,
          maxWorkers: availableParallelism(),
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/{integration,chaos,interop}/**/*.test.ts"],
          environment: "node",
          // Each file starts real processes: one file at a time keeps a two-core host honest.
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
