import { describe, expect, it } from "vitest";
import { reportError } from "../../../../coordinator/cli/reportError.ts";
import { CoordError, errorCatalogue, isErrorCode } from "../../../../shared/errors.ts";

describe("reportError", () => {
  it("prints the message alone and takes the exit code of the catalogue", () => {
    for (const code of Object.keys(errorCatalogue)
      .filter(isErrorCode)
      .filter((code) => code !== "INTERNAL")) {
      const { text, exitCode } = reportError(new CoordError(code, "What, where, what to do."), false);
      expect(text).toBe("coord: What, where, what to do.\n");
      expect(exitCode).toBe(errorCatalogue[code].exitCode);
    }
  });

  it("says how to look into a defect of our own", () => {
    expect(reportError(new TypeError("x is not a function"), false)).toEqual({
      text: "coord: x is not a function\nThis is a defect in coord; --debug shows where it happened.\n",
      exitCode: 1,
    });
  });

  it("shows the stacks of the error and its causes with --debug", () => {
    const cause = new Error("disk full");
    const { text } = reportError(new CoordError("STORAGE_FAILED", "Could not write.", { cause }), true);
    expect(text).toContain("CoordError: Could not write.\n    at ");
    expect(text).toContain("Error: disk full\n    at ");
  });
});
