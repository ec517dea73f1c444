// Numbers and times as people read them.

/** "1 stream", "132 streams". */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

const UNITS = [
  [86400, "d", 3600, "h"],
  [3600, "h", 60, "min"],
  [60, "min", 1, "s"],
];

/** "0.8 s", "12 s", "3 min 20 s", "1 h 5 min". */
export function duration(seconds) {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1).replace(".0", "")} s`;
  const whole = Math.round(seconds);
  for (const [size, unit, small, smaller] of UNITS) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / small);
      return rest ? `${Math.floor(whole / size)} ${unit} ${rest} ${smaller}` : `${Math.floor(whole / size)} ${unit}`;
    }
  }
  return `${whole} s`;
}

const FEW = 5; // seconds

/** The same as a part of a sentence: "a few seconds", "about 20 s". */
export const about = (seconds) => `${seconds < FEW ? "" : "about "}${roughly(seconds)}`;

/** What is only known roughly: "a few seconds", "20 s", "4 min", "2 h". */
export function roughly(seconds) {
  if (seconds < FEW) return "a few seconds";
  if (seconds < 55) return `${Math.max(5, Math.round(seconds / 5) * 5)} s`;
  if (seconds < 5400) return `${Math.max(1, Math.round(seconds / 60))} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** "512 B", "3.4 KiB", "1.2 GiB". */
export function size(bytes) {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  let amount = bytes;
  for (const unit of ["KiB", "MiB", "GiB", "TiB"]) {
    amount /= 1024;
    if (amount < 1024) return `${amount.toFixed(amount < 100 ? 1 : 0)} ${unit}`;
  }
  return `${(amount / 1024).toFixed(1)} PiB`;
}

/** "0", "0.4", "12", "1,204": so many in a second. */
export function rate(number) {
  return number === 0 || number >= 9.5 ? Math.round(number).toLocaleString("en") : number.toFixed(1);
}

/** The milliseconds since the epoch of an RFC 3339 time. */
export function moment(time) {
  return Date.parse(time);
}

/** The local time of day, "08:03:11". */
export function clock(milliseconds) {
  const date = new Date(milliseconds);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
}

/** What a state looks like besides its word. */
export const MARKS = {
  starting: "◌",
  ready: "○",
  active: "●",
  draining: "◐",
  warm: "◍",
  stopping: "◌",
  stopped: "■",
  failed: "✕",
};
