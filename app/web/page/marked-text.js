// A text of the model with its sources and with what was never heard. Everything goes through textContent.
import { formatClock } from "./format.js";
import { cutText } from "./text-pieces.js";

/** Return a new element with a text. */
export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Return a new button. */
export function sourceButton(text, act) {
  const button = element("button", text, "source");
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

/**
 * Return the nodes of a text.
 *
 * text: with its `citations` and `unsupported` spans, whose places are in it. windows: of the recording. play: gets the
 * window that the reader wants to hear.
 */
export function markText({ text, citations, unsupported }, windows, play) {
  const made = [];
  let [sentence, index] = [null, -1];
  const close = () => {
    if (sentence) made.push(...sourceButtons(citations[index], sentence, windows, play));
    sentence = null;
  };
  for (const piece of cutText(text, citations, unsupported ?? [])) {
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
function sourceButtons(citation, sentence, windows, play) {
  const sources = citation.windows.map((index) => windows.find((one) => one.index === index)).filter(Boolean);
  if (!sources.length) return [];
  const choose = (window) => {
    for (const other of document.querySelectorAll(".sentence.chosen")) other.classList.remove("chosen");
    sentence.classList.add("chosen");
    play(window);
  };
  sentence.classList.add("cited");
  sentence.addEventListener("click", () => {
    if (getSelection().isCollapsed) choose(sources[0]); // else the reader selects text
  });
  return sources.map((window) => {
    const button = sourceButton(formatClock(window.start), () => choose(window));
    button.ariaLabel = `Hear where this comes from, ${formatClock(window.start)} to ${formatClock(window.end)}`;
    return button;
  });
}

function markUnheard({ text, unheard }) {
  const mark = element("mark", text, unheard.in_context ? "noted" : "");
  mark.title = unheard.in_context
    ? `This ${unheard.kind} stands in your notes or names. It was not heard in the recording.`
    : `This ${unheard.kind} was not heard in the recording.`;
  mark.append(element("span", unheard.in_context ? " (from your notes, not heard)" : " (not heard)", "away"));
  return mark;
}
