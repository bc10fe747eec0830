/** The generated file's text. */
export function assembleKernels(): Promise<string>;
