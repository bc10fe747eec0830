/** Everything that `outputs` reach, each value after those it depends on. Iterative: deep models overflow the stack. */
export function topologicalOrder<Value>(
  outputs: readonly Value[],
  dependencies: (value: Value) => readonly Value[],
): Value[] {
  const order: Value[] = [];
  const seen = new Set<Value>();
  const stack: { value: Value; next: number }[] = [];
  for (const output of outputs) {
    if (!seen.has(output)) stack.push({ value: output, next: 0 });
    seen.add(output);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const dependency = dependencies(top.value)[top.next++];
      if (dependency === undefined) {
        order.push(top.value);
        stack.pop();
      } else if (!seen.has(dependency)) {
        seen.add(dependency);
        stack.push({ value: dependency, next: 0 });
      }
    }
  }
  return order;
}
