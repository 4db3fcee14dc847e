// The transcript as a text and as subtitles. The forms are those of the service (app/core/asr/subtitles.py), which sends
// one form a request; here all are made of the segments. Knows nothing about the page.

/** Return the transcript in a format: `txt`, `srt` or `vtt`. transcript: as `transcript=verbose_json` sends it. */
export function writeTranscript({ text, segments }, format) {
  if (format === "srt") return segments.map((one, index) => `${index + 1}\n${writeCue(one, ",", oneLine)}`).join("\n");
  if (format === "vtt") return `WEBVTT\n${segments.map((one) => `\n${writeCue(one, ".", escapeCue)}`).join("")}`;
  return `${text}\n`;
}

function writeCue({ start, end, text }, mark, clean) {
  return `${writeTime(start, mark)} --> ${writeTime(end, mark)}\n${clean(text)}\n`;
}

/** Return a text on one line that no reader takes for the times of a cue. */
function oneLine(text) {
  return text.split(/\s+/).filter(Boolean).join(" ").replaceAll("-->", "->");
}

function escapeCue(text) {
  return oneLine(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Return a time as hours, minutes, seconds and milliseconds. mark: in front of the milliseconds. */
function writeTime(seconds, mark) {
  const all = Math.round(seconds * 1000);
  const digits = (value, count) => String(value).padStart(count, "0");
  const parts = [Math.floor(all / 3_600_000), Math.floor(all / 60_000) % 60, Math.floor(all / 1000) % 60];
  return `${parts.map((value) => digits(value, 2)).join(":")}${mark}${digits(all % 1000, 3)}`;
}
