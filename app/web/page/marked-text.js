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
 * text: with its `citations` and `unsupported` spans, whose places are in it. play: gets the part of the recording that
 * the reader wants to hear, as `{start, end}` in seconds.
 */
export function markText({ text, citations, unsupported }, play) {
  const made = [];
  let [sentence, index] = [null, -1];
  const close = () => {
    if (sentence) made.push(...sourceButtons(citations, index, sentence, play));
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

/**
 * Return a button for each part of the recording that a sentence comes from; a click on the sentence itself plays the
 * first. Of sentences that come from the same parts, only the last has buttons.
 */
function sourceButtons(citations, index, sentence, play) {
  const sources = citations[index].times;
  if (!sources.length) return [];
  const choose = (source) => {
    for (const other of document.querySelectorAll(".sentence.chosen")) other.classList.remove("chosen");
    sentence.classList.add("chosen");
    play(source);
  };
  sentence.classList.add("cited");
  sentence.addEventListener("click", () => {
    if (getSelection().isCollapsed) choose(sources[0]); // else the reader selects text
  });
  if (JSON.stringify(citations[index + 1]?.times) === JSON.stringify(sources)) return [];
  return sources.map((source) => {
    const button = sourceButton(formatClock(source.start), () => choose(source));
    button.ariaLabel = `Hear where this comes from, ${formatClock(source.start)} to ${formatClock(source.end)}`;
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
