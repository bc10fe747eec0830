import { existsSync } from "node:fs";
import { join } from "node:path";

/** The tokenizer's files of a model directory, which every checkpoint carries along. */
export function tokenizerFilesOf(modelDirectory: string): string[] {
  return ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"]
    .map((name) => join(modelDirectory, name))
    .filter((path) => existsSync(path));
}
