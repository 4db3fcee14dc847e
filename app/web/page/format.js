// How times, sizes and shares are written. Knows nothing about the page.

/** Return seconds as a clock shows them: `1:05`, and from an hour on `1:01:05`. */
export function formatClock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const twoDigits = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${twoDigits(minutes)}:${twoDigits(rest)}` : `${minutes}:${twoDigits(rest)}`;
}

const MOST_SPOKEN_SPANS = 5; // a screen reader reads them all

/** Return in words where somebody speaks; empty if that is nowhere. spans: `{start, end}` in seconds. */
export function describeSpeech(spans) {
  if (!spans.length) return "";
  const first = spans.slice(0, MOST_SPOKEN_SPANS).map(({ start, end }) => `${formatClock(start)} to ${formatClock(end)}`);
  const more = spans.length - first.length;
  return `Speech from ${first.join(", ")}${more ? ` and in ${more} more places` : ""}.`;
}

/** Return a number of bytes in kB or MB. */
export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Return the day and time of a Unix time, as the reader's own language writes it. */
export function formatMoment(unixSeconds) {
  return new Date(1000 * unixSeconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** Return a share from 0 to 1 in percent. */
export function formatPercent(share) {
  return `${Math.round(100 * share)}%`;
}
