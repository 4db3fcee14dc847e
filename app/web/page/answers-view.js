// The answers to questions about a recording. Everything that was said or written goes through textContent.
import { element, markText } from "./marked-text.js";

const ENDINGS = {
  no_speech: "Nobody speaks in this recording.",
  not_understood: "Too little of the recording was understood to answer.",
};
const list = document.querySelector("#answers dl");

/** Remove all answers. */
export function clearAnswers() {
  list.replaceChildren();
  document.getElementById("answers").hidden = true;
}

/** Show a piece of an answer as it is written. index: of the question, from 0. */
export function appendToAnswer(index, question, text) {
  rowOf(index, question).append(text);
}

/** Show an answer that is whole. answer: as the service sends it. play: gets a window that the reader wants to hear. */
export function showAnswer(index, answer, play) {
  const { question, answer: text, citations, unsupported, finish_reason: ending } = answer;
  const row = rowOf(index, question);
  if (text) row.replaceChildren(...markText({ text, citations, unsupported }, play));
  else row.textContent = ENDINGS[ending] ?? "The model wrote nothing.";
}

/** Remove an answer that broke off. */
export function removeAnswer(index) {
  for (const part of [...list.children].slice(2 * index)) part.remove();
  document.getElementById("answers").hidden = !list.childElementCount;
}

/** Return the element of an answer; a new one if it is the next. */
function rowOf(index, question) {
  while (list.children.length <= 2 * index) list.append(element("dt", question), element("dd"));
  document.getElementById("answers").hidden = false;
  return list.children[2 * index + 1];
}
