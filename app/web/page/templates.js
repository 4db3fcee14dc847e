// The templates that a summary can follow: those of the service, and those of this key.
import { callService } from "./api.js";

const $ = (id) => document.getElementById(id);
const NO_TEMPLATE = "None";
const AUTO = "The model hears the recording and chooses one. This takes a little longer.";
let templates = [];

/** Wire the list of templates. */
export function setUpTemplates() {
  $("template").addEventListener("change", showFacts);
}

/** Read the templates from the service and show them. Throws what `callService` throws. */
export async function refreshTemplates() {
  templates = (await callService("v1/templates")).data;
  const chosen = $("template").value;
  const group = (label, isBuiltIn) => {
    const found = templates.filter((one) => one.built_in === isBuiltIn);
    if (!found.length) return [];
    const made = document.createElement("optgroup");
    made.label = label;
    made.append(...found.map((one) => new Option(titleOf(one.name), one.name)));
    return [made];
  };
  $("template").replaceChildren(
    new Option(NO_TEMPLATE, ""),
    new Option("Let the model choose", "auto"),
    ...group("Your own", false),
    ...group("Built in", true),
  );
  const isThere = chosen === "auto" || templates.some((one) => one.name === chosen);
  $("template").value = isThere ? chosen : "";
  showFacts();
}

/** Return a template's name as a title: `meeting_minutes` is `Meeting minutes`. */
export function titleOf(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function showFacts() {
  const name = $("template").value;
  $("template-facts").textContent = name === "auto" ? AUTO : (templates.find((one) => one.name === name)?.description ?? "");
  offerStyles(name !== "");
}

/** Let the first style be that of the template, if there is one; a style that is named wins over it. */
function offerStyles(hasTemplate) {
  const [first, second] = $("style").options;
  first.textContent = hasTemplate ? "The template's" : "Paragraph";
  const hasParagraph = second.value === "paragraph";
  if (hasTemplate && !hasParagraph) $("style").add(new Option("Paragraph", "paragraph"), 1);
  if (!hasTemplate && hasParagraph) {
    if (second.selected) first.selected = true; // they mean the same without a template
    second.remove();
  }
}
