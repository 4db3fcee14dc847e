// Calls the service. Addresses are relative, so that the page also works behind a path prefix.
import { ConnectionLost, ServiceError, readError } from "./errors.js";
import { EventParser } from "./event-parser.js";
import { apiKey } from "./session.js";

const SUMMARIES = "v1/audio/summaries";
const CHAT = "v1/chat/completions";
export const JOBS = `${SUMMARIES}/jobs`;
const JSON_TYPE = { "content-type": "application/json" };

function authorization() {
  const key = apiKey();
  return key ? { authorization: `Bearer ${key}` } : {};
}

/**
 * Return the JSON of an answer; null if it has no body. Throws ServiceError or ConnectionLost.
 *
 * content: is sent as JSON, if it is given.
 */
export async function callService(path, method = "GET", content = undefined) {
  const headers = { ...authorization(), ...(content === undefined ? {} : JSON_TYPE) };
  const body = content === undefined ? undefined : JSON.stringify(content);
  let answer, text;
  try {
    answer = await fetch(path, { method, headers, body, cache: "no-store", credentials: "same-origin" });
    text = await answer.text();
  } catch {
    throw new ConnectionLost();
  }
  if (!answer.ok) throw readError(text, answer.status, answer.headers.get("retry-after"));
  return text ? JSON.parse(text) : null;
}

/**
 * Send a form with a recording, or a text, and return the text of the answer.
 *
 * It is an XMLHttpRequest, because fetch does not tell how much of an upload has been sent. onUpload: gets the share
 * that was sent. signal: cancels. Throws ServiceError, ConnectionLost or, if cancelled, an AbortError.
 */
function send(path, body, { onUpload, signal, headers = {}, onText = () => {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({ ...authorization(), ...headers })) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onUpload(event.loaded / event.total);
    });
    const isGood = () => request.status >= 200 && request.status < 300;
    request.addEventListener("progress", () => isGood() && onText(request.responseText));
    request.addEventListener("load", () => {
      if (isGood()) resolve(request.responseText);
      else reject(readError(request.responseText, request.status, request.getResponseHeader("retry-after")));
    });
    request.addEventListener("error", () => reject(new ConnectionLost()));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

/** Read the events of an answer as they come. onEvent: gets each. Throws also what an event reports as an error. */
async function readStream(path, body, { onEvent, ...options }) {
  const parser = new EventParser();
  let read = 0;
  let failure = null;
  const readText = (text) => {
    const events = parser.push(text.slice(read));
    read = text.length;
    for (const data of events) {
      if (data === "[DONE]") continue;
      const event = JSON.parse(data);
      if (event.error) failure = new ServiceError(event.error, 0);
      else onEvent(event);
    }
  };
  readText(await send(path, body, { ...options, onText: readText }));
  if (failure) throw failure;
}

/** Ask for a summary and return the last event, the whole answer. onEvent: gets every event before it as it comes. */
export async function streamSummary(form, { onEvent, ...options }) {
  let done = null;
  const take = (event) => {
    if (event.object === "audio.summary.done") done = event;
    else onEvent(event);
  };
  form.set("stream", "true");
  await readStream(SUMMARIES, form, { ...options, onEvent: take });
  if (!done) throw new ConnectionLost();
  return done;
}

/**
 * Ask a question about a recording that the service keeps. Return what the service says about the answer, as a summary.
 *
 * content: the body of a chat completion. onText: gets each piece of the answer.
 */
export async function streamChat(content, { onText, ...options }) {
  let facts = null;
  const take = (chunk) => {
    const text = chunk.choices[0]?.delta.content;
    if (text) onText(text);
    facts = chunk.speechsum ?? facts;
  };
  const body = JSON.stringify({ ...content, stream: true });
  await readStream(CHAT, body, { ...options, headers: JSON_TYPE, onEvent: take });
  if (!facts) throw new ConnectionLost();
  return facts;
}

/** Queue a recording and return the job. idempotencyKey: a repeat with the same one makes no second job. */
export async function sendJob(form, { idempotencyKey, ...options }) {
  return JSON.parse(await send(JOBS, form, { ...options, headers: { "idempotency-key": idempotencyKey } }));
}
