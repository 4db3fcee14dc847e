// What is asked of the summary: the fields of a request, as the page has them.
import { chosenModel } from "./models.js";

const $ = (id) => document.getElementById(id);
const FIELDS = ["template", "style", "length", "language", "focus", "instructions", "context", "vocabulary", "model"];
const MORE = ["context", "vocabulary", "questions"]; // may be folded up, and are sent all the same
let keepsNone = false; // whether the service has said that it keeps no recordings

/** Wire the choices that depend on others. */
export function setUpWishes() {
  $("model").addEventListener("change", showChoices);
  $("wishes").addEventListener("input", showCount);
}

/** Show how many of the fields that may be folded up are written in. */
export function showCount() {
  const count = MORE.filter((name) => $(name).value.trim()).length;
  $("more-count").textContent = count ? `: ${count} of ${MORE.length} in use` : "";
}

/** Show which choices the chosen model and the service have. */
export function showChoices() {
  const hasTranscript = chosenModel()?.kind === "cascade";
  $("wants-transcript").disabled = !hasTranscript;
  $("transcript-note").textContent = hasTranscript ? "" : "This model hears the recording itself and writes no transcript.";
  $("keep-choice").hidden = keepsNone;
}

/** Return a form with the wishes, without a recording. */
export function readWishes() {
  const form = new FormData();
  for (const name of FIELDS) {
    const value = $(name).value.trim();
    if (value) form.set(name, value);
  }
  // Each as JSON, so that the service takes no question for a list.
  for (const question of askedQuestions()) form.append("questions", JSON.stringify([question]));
  if ($("wants-transcript").checked && !$("wants-transcript").disabled) form.set("transcript", "verbose_json");
  return form;
}

/** Return the questions that are asked beside the summary. */
export function askedQuestions() {
  return $("questions").value.split("\n").map((line) => line.trim()).filter(Boolean);
}

/** Return whether the recording shall be kept for further requests. */
export function wantsKeeping() {
  return $("keep").checked;
}

/** Note that this service keeps no recordings. */
export function stopOfferingToKeep() {
  keepsNone = true;
  $("keep").checked = false;
  showChoices();
}
