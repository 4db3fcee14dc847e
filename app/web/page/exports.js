// A summary as a text, as Markdown and as JSON; to the clipboard or into a file. Knows nothing about the page.
import { formatClock } from "./format.js";

/** Return the summary alone, as a text file holds it. */
export function textOf(answer) {
  return `${answer.summary}\n`;
}

/** Return the summary as Markdown, with answers, warnings, sources, the transcript and which model wrote it. name: of the
 * recording.
 */
export function markdownOf(answer, name) {
  const lines = [`# Summary of ${escapeMarkdown(name)}`, "", answer.summary, ""];
  if (answer.answers?.length) {
    lines.push("## Answers", "");
    for (const one of answer.answers) lines.push(`**${escapeMarkdown(one.question)}**`, "", one.answer, "");
  }
  if (answer.warnings.length) {
    lines.push("## What you should know", "", ...answer.warnings.map((warning) => `- ${escapeMarkdown(warning)}`), "");
  }
  const cited = answer.citations.filter((citation) => citation.times.length);
  if (cited.length) {
    const clocks = (source) => `${formatClock(source.start)}–${formatClock(source.end)}`;
    lines.push("## Where it comes from", "");
    lines.push(...cited.map((one) => `- ${one.times.map(clocks).join(", ")}: ${escapeMarkdown(one.text)}`), "");
  }
  if (answer.transcript?.segments) {
    lines.push("## Transcript", "");
    for (const one of answer.transcript.segments) lines.push(`- ${formatClock(one.start)}: ${escapeMarkdown(one.text)}`);
    lines.push("");
  }
  lines.push(`Written by ${escapeMarkdown(answer.model)}.`, "");
  return lines.join("\n");
}

/** Return the service's whole answer. */
export function jsonOf(answer) {
  return `${JSON.stringify(answer, null, 2)}\n`;
}

/** Return a text in which Markdown and HTML mean nothing. */
function escapeMarkdown(text) {
  return text.replace(/[\\`*_[\]<>#&|]/g, "\\$&").replace(/\s*\n\s*/g, " ");
}

/** Let the browser save a text as a file. */
export function saveFile(text, name, mediaType) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: mediaType }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // some browsers read it after the click has returned
}

/** Put a text on the clipboard. Throws if the browser does not allow it. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without https there is no navigator.clipboard; the old way still works.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "away";
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("the browser does not allow it");
}
