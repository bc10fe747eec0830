// For `node --import`: the wall clock steps an hour ahead after a second, and two hours back after another.
const now = Date.now.bind(Date);
let offsetMs = 0;
const hourMs = 3_600_000;
setTimeout(() => (offsetMs = hourMs), 1000).unref();
setTimeout(() => (offsetMs = -hourMs), 2000).unref();

class SteppedDate extends Date {
  constructor(...given) {
    if (given.length === 0) super(now() + offsetMs);
    else super(...given);
  }
  static now() {
    return now() + offsetMs;
  }
}
globalThis.Date = SteppedDate;
