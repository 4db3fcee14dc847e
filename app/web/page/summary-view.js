// Shows an answer. Everything that a recording, a model or a file's name may have said goes through textContent.
import { copyText, jsonOf, markdownOf, saveFile, textOf } from "./exports.js";
import { formatClock, formatPercent } from "./format.js";
import { countFinishedCharacters, cutText } from "./text-pieces.js";

const $ = (id) => document.getElementById(id);
const ANNOUNCE_EVERY_MS = 1500; // a screen reader that is told more often repeats itself
const ENDINGS = {
  length: "The summary broke off: it met the largest number of tokens.",
  repetition: "The model began to repeat itself and was stopped.",
  no_speech: "Nobody speaks in this recording, so there is no summary.",
  not_understood: "Somebody speaks, but too little was understood to make a summary.",
};

/** Return a new element with a text. */
function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** The section of the summary. player: plays the windows that sentences come from. */
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
  }

  /** Empty the section before a new summary. isExpected: whether one will be streamed into it. */
  clear(isExpected = false) {
    this.#answer = null;
    [this.#streamed, this.#announced] = ["", 0];
    $("result").hidden = !isExpected;
    for (const id of ["ending", "unheard-note", "sources-note", "warnings", "windows", "exports"]) $(id).hidden = true;
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

  /** Show a whole answer. name: of the recording. */
  show(answer, name) {
    [this.#answer, this.#name] = [answer, name];
    $("result").hidden = false;
    const unheard = answer.unsupported ?? [];
    const isCited = answer.citations.some((citation) => citation.windows.length);
    if (answer.style?.language) $("summary").lang = answer.style.language;
    $("summary").replaceChildren(...this.#pieces(answer, unheard));
    this.#streamed = answer.summary;
    this.#announce(this.#streamed.length);
    show("ending", ENDINGS[answer.finish_reason] ?? "");
    $("unheard-note").hidden = !unheard.length;
    $("sources-note").hidden = !isCited;
    $("warnings").hidden = !answer.warnings.length;
    $("warnings").querySelector("ul").replaceChildren(...answer.warnings.map((warning) => element("li", warning)));
    $("windows").hidden = answer.windows.length < 2;
    $("windows").querySelector("ol").replaceChildren(...answer.windows.map((window) => this.#windowItem(window)));
    $("facts").textContent = describeAnswer(answer);
    $("exports").hidden = !answer.summary;
    this.#player.markWindows(answer.windows, answer.audio_seconds);
  }

  #pieces(answer, unheard) {
    const made = [];
    let [sentence, index] = [null, -1];
    const close = () => {
      if (sentence) made.push(...this.#sourceButtons(answer, answer.citations[index], sentence));
      sentence = null;
    };
    for (const piece of cutText(answer.summary, answer.citations, unheard)) {
      if (piece.citation !== index) {
        close();
        index = piece.citation;
        if (index >= 0) made.push((sentence = element("span", "", "sentence")));
      }
      const node = piece.unheard ? markUnheard(piece) : document.createTextNode(piece.text);
      if (sentence) sentence.append(node);
      else made.push(node);
    }
    close();
    return made;
  }

  /** Return a button for each window that a sentence comes from; a click on the sentence itself plays the first. */
  #sourceButtons(answer, citation, sentence) {
    const windows = citation.windows.map((index) => answer.windows.find((one) => one.index === index)).filter(Boolean);
    if (!windows.length) return [];
    const play = (window) => {
      for (const other of document.querySelectorAll(".sentence.chosen")) other.classList.remove("chosen");
      sentence.classList.add("chosen");
      this.#play(window);
    };
    sentence.classList.add("cited");
    sentence.addEventListener("click", () => {
      if (getSelection().isCollapsed) play(windows[0]); // else the reader selects text
    });
    return windows.map((window) => {
      const button = element("button", formatClock(window.start), "source");
      button.type = "button";
      button.ariaLabel = `Hear where this comes from, ${formatClock(window.start)} to ${formatClock(window.end)}`;
      button.addEventListener("click", () => play(window));
      return button;
    });
  }

  #windowItem(window) {
    const item = element("li");
    const button = element("button", `${formatClock(window.start)}–${formatClock(window.end)}`, "source");
    button.type = "button";
    button.addEventListener("click", () => this.#play(window));
    item.append(button, ` ${window.note ?? ""}`);
    return item;
  }

  #play(window) {
    const times = `${formatClock(window.start)} to ${formatClock(window.end)}`;
    const isHeard = this.#player.playWindow(window);
    $("status").textContent = isHeard ? `Playing ${times}.` : `It comes from ${times}. The recording is not open here.`;
  }

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

  #save(render, extension, mediaType) {
    const base = this.#name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N} ._-]/gu, "_") || "recording";
    saveFile(render(this.#answer, this.#name), `${base}-summary.${extension}`, mediaType);
  }
}

function markUnheard(piece) {
  const mark = element("mark", piece.text);
  mark.title = `This ${piece.unheard.kind} was not heard in the recording.`;
  mark.append(element("span", " (not heard)", "away"));
  return mark;
}

function describeAnswer(answer) {
  const parts = [`${formatClock(answer.audio_seconds)} of audio`, `written by ${answer.model}`];
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
