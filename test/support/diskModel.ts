import { dirname, join } from "node:path";
import type { Operation } from "./recordingFileSystem.ts";

/** Bytes that reach the disk together: small, so that files of the tests have many. */
const pageBytes = 16;

class FileNode {
  bytes: Uint8Array = new Uint8Array();
  /** Length that a sync has made safe; later writes may be there in part. */
  synced = 0;
}

/** A change of one directory that happens whole or not at all. */
type EntryChange = ReadonlyMap<string, Node | undefined>;

class DirectoryNode {
  readonly durable = new Map<string, Node>();
  /** Changes since the last sync. */
  pending: EntryChange[] = [];

  /** As a running system sees it. */
  entries(): Map<string, Node> {
    return applied(this.durable, this.pending);
  }
}

type Node = FileNode | DirectoryNode;

/** Files and their bytes by path; directories end with a slash. */
export type Tree = Map<string, Uint8Array | undefined>;

/**
 * A disk whose cache may be lost. Only what was synced is sure: the bytes of a file up to its last sync, the entries of
 * a directory up to its last sync. Of everything later any part may be there, in any order: that is harsher than the
 * journalling file systems, which lose changes of directories from the end only.
 */
export class DiskModel {
  readonly #root = new DirectoryNode();

  /** Carries an operation out, a write or a removal only in part where `part` says so. */
  apply(operation: Operation, part = Number.POSITIVE_INFINITY): void {
    switch (operation.kind) {
      case "makeDirectory": {
        const missing: string[] = [];
        for (let path = operation.path; path !== "." && path !== "" && !this.#find(path); path = dirname(path)) {
          missing.unshift(path);
        }
        for (const path of missing) this.#link(path, new DirectoryNode());
        break;
      }
      case "create":
        this.#link(operation.path, new FileNode());
        break;
      case "write": {
        const file = this.#file(operation.path);
        file.bytes = Buffer.concat([file.bytes, operation.bytes.subarray(0, part)]);
        break;
      }
      case "sync": {
        const file = this.#file(operation.path);
        file.synced = file.bytes.length;
        break;
      }
      case "syncDirectory": {
        const directory = this.#directory(operation.path);
        for (const change of directory.pending) alter(directory.durable, change);
        directory.pending = [];
        break;
      }
      case "rename": {
        const node = this.#find(operation.path)!;
        const [from, to] = [operation.path, operation.to].map((path) => path.slice(path.lastIndexOf("/") + 1));
        // Both names are in one directory, which is what file systems change at once.
        this.#directory(dirname(operation.path)).pending.push(
          new Map<string, Node | undefined>([
            [from!, undefined],
            [to!, node],
          ]),
        );
        break;
      }
      case "remove":
        this.#remove(operation.path, part);
        break;
      case "close":
        break;
    }
  }

  /** What the next process finds where only this process has died. */
  afterCrash(): Tree {
    return treeOf(
      this.#root,
      (directory) => directory.entries(),
      ({ bytes }) => bytes,
    );
  }

  /** What is found after a loss of power, as `random`, which gives numbers in [0, 1), decides. */
  afterPowerLoss(random: () => number): Tree {
    // Disks differ in how much of their cache has been written by then.
    const share = random();
    const kept = () => random() < share;
    return treeOf(
      this.#root,
      (directory) => applied(directory.durable, directory.pending.filter(kept)),
      ({ bytes, synced }) => {
        const length = kept() ? bytes.length : synced + Math.floor(random() * (bytes.length - synced + 1));
        const found = new Uint8Array(length);
        found.set(bytes.subarray(0, Math.min(synced, length)));
        // Pages that did not make it are zeros where the length did.
        for (let at = synced; at < length; at += pageBytes) {
          if (kept()) found.set(bytes.subarray(at, Math.min(at + pageBytes, length)), at);
        }
        return found;
      },
    );
  }

  /** Removes a tree as rm does, file by file; at most `part` of the files. */
  #remove(path: string, part: number): void {
    const node = this.#find(path);
    if (!node) return;
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (node instanceof DirectoryNode) {
      const files = [...node.entries().keys()];
      for (const file of files.slice(0, part)) node.pending.push(new Map([[file, undefined]]));
      if (part < files.length) return;
    }
    this.#directory(dirname(path)).pending.push(new Map([[name, undefined]]));
  }

  #link(path: string, node: Node): void {
    this.#directory(dirname(path)).pending.push(new Map([[path.slice(path.lastIndexOf("/") + 1), node]]));
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
      node = node instanceof DirectoryNode ? node.entries().get(name) : undefined;
    }
    return node;
  }

  #directory(path: string): DirectoryNode {
    const node = this.#find(path);
    if (node instanceof DirectoryNode) return node;
    throw new Error(`The model has no directory ${path}.`);
  }

  #file(path: string): FileNode {
    const node = this.#find(path);
    if (node instanceof FileNode) return node;
    throw new Error(`The model has no file ${path}.`);
  }
}

function applied(durable: ReadonlyMap<string, Node>, changes: readonly EntryChange[]): Map<string, Node> {
  const entries = new Map(durable);
  for (const change of changes) alter(entries, change);
  return entries;
}

function alter(entries: Map<string, Node>, change: EntryChange): void {
  for (const [name, node] of change) {
    if (node) entries.set(name, node);
    else entries.delete(name);
  }
}

function treeOf(
  directory: DirectoryNode,
  entriesOf: (directory: DirectoryNode) => Map<string, Node>,
  bytesOf: (file: FileNode) => Uint8Array,
  path = "",
  tree: Tree = new Map(),
): Tree {
  for (const [name, node] of entriesOf(directory)) {
    const at = join(path, name);
    if (node instanceof FileNode) tree.set(at, bytesOf(node));
    else {
      tree.set(`${at}/`, undefined);
      treeOf(node, entriesOf, bytesOf, at, tree);
    }
  }
  return tree;
}
