// Shows an answer. Everything that a recording, a model or a file's name may have said goes through textContent.
import { clearAnswers, showAnswer } from "./answers-view.js";
import { copyText, jsonOf, markdownOf, saveFile, textOf } from "./exports.js";
import { formatClock, formatPercent } from "./format.js";
import { element, markText, sourceButton } from "./marked-text.js";
import { titleOf } from "./templates.js";
import { countFinishedCharacters } from "./text-pieces.js";
import { writeTranscript } from "./transcript.js";

const $ = (id) => document.getElementById(id);
const ANNOUNCE_EVERY_MS = 1500; // a screen reader that is told more often repeats itself
const ENDINGS = {
  length: "The summary broke off: it met the largest number of tokens.",
  repetition: "The model began to repeat itself and was stopped.",
  no_speech: "Nobody speaks in this recording, so there is no summary.",
  not_understood: "Somebody speaks, but too little was understood to make a summary.",
};
const PARTS = [
  "ending", "unheard-note", "noted-note", "sources-note", "ask-form", "warnings", "windows", "transcript", "exports",
];

/** The section of the summary. player: plays what sentences come from. */
export class SummaryView {
  #player;
  #answer = null;
  #name = "";
  #streamed = "";
  #announced = 0;
  #announcedAt = 0;

  constructor(player) {
    this.#player = player;
    $("player").addEventListener("pause", () => {
      if ($("status").textContent.startsWith("Playing ")) $("status").textContent = "";
    });
    $("copy").addEventListener("click", () => this.#copy());
    $("save-text").addEventListener("click", () => this.#save(textOf, "txt", "text/plain"));
    $("save-markdown").addEventListener("click", () => this.#save(markdownOf, "md", "text/markdown"));
    $("save-json").addEventListener("click", () => this.#save(jsonOf, "json", "application/json"));
    for (const button of $("transcript").querySelectorAll("button")) {
      const { format } = button.dataset;
      const write = (answer) => writeTranscript(answer.transcript, format);
      const mediaType = format === "vtt" ? "text/vtt" : "text/plain";
      button.addEventListener("click", () => this.#save(write, format, mediaType, "transcript"));
    }
  }

  /** Empty the section before a new summary. isExpected: whether one will be streamed into it. */
  clear(isExpected = false) {
    this.#answer = null;
    [this.#streamed, this.#announced] = ["", 0];
    $("result").hidden = !isExpected;
    for (const id of PARTS) $(id).hidden = true;
    clearAnswers();
    for (const id of ["summary", "announcer", "facts"]) $(id).replaceChildren();
    $("summary").removeAttribute("lang");
  }

  /** Show a piece of the summary as it comes. */
  append(text) {
    $("summary").append(text);
    this.#streamed += text;
    if (performance.now() - this.#announcedAt > ANNOUNCE_EVERY_MS) {
      this.#announce(countFinishedCharacters(this.#streamed));
    }
  }

  /** Say that the text so far is not all, because the request has failed; hide the section if there is no text. */
  breakOff() {
    if (this.#streamed) show("ending", "This text broke off. It is not the whole answer.");
    else this.clear();
  }

  /** Show a whole answer. name: of the recording. */
  show(answer, name) {
    [this.#answer, this.#name] = [answer, name];
    $("result").hidden = false;
    if (answer.style?.language) $("summary").lang = answer.style.language;
    const { summary: text, citations, unsupported } = answer;
    $("summary").replaceChildren(...markText({ text, citations, unsupported }, this.#playWindow));
    this.#streamed = text;
    this.#announce(text.length);
    show("ending", ENDINGS[answer.finish_reason] ?? "");
    clearAnswers();
    answer.answers.forEach((one, index) => showAnswer(index, one, this.#playWindow));
    this.#showNotes();
    $("warnings").hidden = !answer.warnings.length;
    $("warnings").querySelector("ul").replaceChildren(...answer.warnings.map((warning) => element("li", warning)));
    $("windows").hidden = answer.windows.length < 2;
    $("windows").querySelector("ol").replaceChildren(...answer.windows.map((window) => this.#windowItem(window)));
    this.#showTranscript(answer);
    $("facts").textContent = describeAnswer(answer);
    $("exports").hidden = !answer.summary;
    this.#player.mark(answer.windows, answer.audio.speech, answer.audio_seconds);
  }

  /** How many answers there are. */
  get answerCount() {
    return this.#answer.answers.length;
  }

  /** Show an answer to a question that was asked afterwards. It becomes a part of what is saved. */
  addAnswer(answer) {
    this.#answer = { ...this.#answer, answers: [...this.#answer.answers, answer] };
    showAnswer(this.answerCount - 1, answer, this.#playWindow);
    $("announcer").append(element("p", answer.answer));
    this.#showNotes();
  }

  /** Say what the marks and the buttons in the texts mean, as far as there are any. */
  #showNotes() {
    const texts = [this.#answer, ...this.#answer.answers];
    const spans = texts.flatMap((one) => one.unsupported ?? []);
    $("unheard-note").hidden = spans.every((span) => span.in_context);
    $("noted-note").hidden = !spans.some((span) => span.in_context);
    $("sources-note").hidden = !texts.some((one) => one.citations.some((citation) => citation.times.length));
  }

  #showTranscript({ transcript }) {
    const segments = transcript?.segments ?? [];
    $("transcript").hidden = !segments.length;
    const list = $("transcript").querySelector("ol");
    if (transcript?.language) list.lang = transcript.language;
    else list.removeAttribute("lang");
    list.replaceChildren(
      ...segments.map((segment) => {
        const item = element("li");
        const button = sourceButton(formatClock(segment.start), () => this.#playWindow(segment));
        item.append(button, ` ${segment.text}`);
        return item;
      }),
    );
  }

  #windowItem(window) {
    const item = element("li");
    const times = `${formatClock(window.start)}–${formatClock(window.end)}`;
    item.append(sourceButton(times, () => this.#playWindow(window)), ` ${window.note ?? ""}`);
    return item;
  }

  /** Play a part of the recording, and highlight the window that it is, if it is one. */
  #playWindow = ({ start, end }) => {
    const times = `${formatClock(start)} to ${formatClock(end)}`;
    const index = this.#answer.windows.find((window) => window.start === start && window.end === end)?.index ?? 0;
    const isHeard = this.#player.playWindow({ start, end, index });
    $("status").textContent = isHeard ? `Playing ${times}.` : `It comes from ${times}. The recording is not open here.`;
  };

  #announce(end) {
    const text = this.#streamed.slice(this.#announced, end).trim();
    if (!text) return;
    $("announcer").append(element("p", text));
    [this.#announced, this.#announcedAt] = [end, performance.now()];
  }

  async #copy() {
    try {
      await copyText(this.#answer.summary);
      $("status").textContent = "The summary was copied.";
    } catch (error) {
      $("status").textContent = `The summary could not be copied: ${error.message}.`;
    }
  }

  #save(render, extension, mediaType, what = "summary") {
    const base = this.#name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N} ._-]/gu, "_") || "recording";
    saveFile(render(this.#answer, this.#name), `${base}-${what}.${extension}`, mediaType);
  }
}

function describeAnswer(answer) {
  const parts = [`${formatClock(answer.audio_seconds)} of audio`, `written by ${answer.model}`];
  if (answer.template) parts.push(`template: ${titleOf(answer.template)}`);
  if (answer.audio?.language) {
    const surely = answer.audio.language_probability;
    parts.push(`language heard: ${answer.audio.language}${surely ? ` (${formatPercent(surely)} sure)` : ""}`);
  }
  if (!answer.complete) parts.push("not all of the speech was read");
  if (answer.timings?.total) parts.push(`took ${answer.timings.total.toFixed(1)} s`);
  return `${parts.join(" · ")}.`;
}

function show(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}
