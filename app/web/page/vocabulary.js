// The names and terms that the service keeps for this key; every request of the key has them.
import { callService } from "./api.js";
import { apiKey } from "./session.js";

const $ = (id) => document.getElementById(id);
const PATH = "v1/vocabulary";
const MOST_SHOWN = 20;
let terms = [];

/** Wire the buttons. onError: gets what fails. */
export function setUpVocabulary(onError) {
  const run = (act) => async () => {
    try {
      await act();
    } catch (error) {
      onError(error);
    }
  };
  $("keep-terms").addEventListener("click", run(keepTerms));
  $("forget-terms").addEventListener("click", run(forgetTerms));
  $("vocabulary").addEventListener("input", show);
}

/** Read the key's names from the service and show them. Throws what `callService` throws. */
export async function refreshVocabulary() {
  terms = apiKey() ? (await callService(PATH)).terms : [];
  show();
}

/** Return the terms of a text, as the service separates them. */
export function splitTerms(text) {
  return text.split(/[,;\n\r]+/).map((term) => term.trim()).filter(Boolean);
}

async function keepTerms() {
  const more = splitTerms($("vocabulary").value).filter((term) => !terms.includes(term));
  terms = (await callService(PATH, "PUT", { terms: [...terms, ...more] })).terms;
  $("vocabulary").value = "";
  $("vocabulary").dispatchEvent(new Event("input", { bubbles: true }));
  finish("The names are kept for this key.");
}

async function forgetTerms() {
  await callService(PATH, "DELETE");
  terms = [];
  finish("The key has no names any more.");
}

function finish(text) {
  show();
  $("status").textContent = text;
  $("vocabulary").focus(); // the button that was pressed may be gone
}

function show() {
  $("key-vocabulary").hidden = !apiKey();
  const shown = terms.slice(0, MOST_SHOWN).join(", ");
  const rest = terms.length > MOST_SHOWN ? ` and ${terms.length - MOST_SHOWN} more` : "";
  $("key-terms").textContent = terms.length ? `Your key has these too: ${shown}${rest}.` : "";
  $("keep-terms").hidden = !splitTerms($("vocabulary").value).length;
  $("forget-terms").hidden = !terms.length;
}
