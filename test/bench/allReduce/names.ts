/** Run that the processes of the all-reduce bench take part in. */
export const benchRunId = "bench";
