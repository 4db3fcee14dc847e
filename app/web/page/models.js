// Which models answer, and how good they are by what was measured.
import { callService } from "./api.js";
import { formatPercent } from "./format.js";

const $ = (id) => document.getElementById(id);
let cards = [];

/** Wire the list of models. */
export function setUpModels() {
  $("model").addEventListener("change", showFacts);
}

/** Read the models from the service and show them. Throws what `callService` throws. */
export async function refreshModels() {
  cards = (await callService("v1/models")).data;
  const { model: usual } = await callService("livez");
  const chosen = $("model").value;
  $("model").replaceChildren(
    new Option(`${usual} (the service's own choice)`, ""),
    ...cards.filter((card) => card.id !== usual).map((card) => new Option(card.id, card.id)),
  );
  $("model").options[0].dataset.id = usual;
  $("model").value = cards.some((card) => card.id === chosen) ? chosen : "";
  showFacts();
}

/** Return the card of the chosen model, an entry of `GET /v1/models`; undefined if it is not known. */
export function chosenModel() {
  const option = $("model").selectedOptions[0];
  return cards.find((one) => one.id === (option?.value || option?.dataset.id));
}

function showFacts() {
  const card = chosenModel();
  $("model-facts").textContent = card ? describeModel(card) : "";
}

/** Return in words what a model is, and what was measured of it. card: an entry of `GET /v1/models`. */
export function describeModel(card) {
  const figures = card.figures ?? {};
  const parts = [card.description].filter(Boolean);
  if (typeof figures.core_coverage === "number") {
    const [low, high] = figures.core_coverage_95 ?? [];
    const interval = low === undefined ? "" : ` (${formatPercent(low)}–${formatPercent(high)})`;
    let measured = `Measured: ${formatPercent(figures.core_coverage)}${interval} of the core facts`;
    if (typeof figures.hallucinations_per_summary === "number") {
      measured += `, ${figures.hallucinations_per_summary.toFixed(2)} inventions a summary`;
    }
    parts.push(`${measured}, in ${figures.summaries ?? "some"} recordings.`);
  } else {
    parts.push("It was not measured.");
  }
  if (card.languages?.length) parts.push(`Languages: ${card.languages.join(", ")}.`);
  return parts.join(" ");
}
