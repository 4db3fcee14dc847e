// Calls every kind of route by the types that openapi-typescript generates. Compiled in strict mode: a body or an answer
// that the document does not describe is an error of the compiler. Usage: node built/call.js URL RECORDING
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./speechsum.js";

const [baseUrl, path] = process.argv.slice(2) as [string, string];
const recording = await readFile(path);
const client = createClient<paths, "application/json">({ baseUrl, headers: { authorization: "Bearer secret" } });
const text = "A scripted summary of what was said.";

function form(body: unknown): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(body as Record<string, unknown>)) {
    data.append(name, value instanceof Blob ? value : String(value));
  }
  return data;
}
// Generated types have a binary file as a string.
const file = new File([new Uint8Array(recording)], "recording.wav") as unknown as string;

const summary = await client.POST("/v1/audio/summaries", {
  body: { file, style: "bullets", length: "about 60 words" },
  bodySerializer: form,
});
assert.ok(summary.data);
const answer: components["schemas"]["SummaryResponse"] = summary.data;
assert.equal(answer.summary, text);
assert.equal(answer.style.length, "60");
const windows: { start: number; end: number; note: string | null }[] = answer.windows;
assert.equal(windows.length, 1);

// @ts-expect-error: a style that there is not
const wrong: components["schemas"]["SummaryForm"] = { file, style: "poem" };
const refused = await client.POST("/v1/audio/summaries", { body: wrong, bodySerializer: form });
assert.equal(refused.error?.error.param, "style");

const chat = await client.POST("/v1/chat/completions", {
  body: {
    model: "test-model",
    messages: [
      {
        role: "user",
        content: [
          { type: "input_audio", input_audio: { data: recording.toString("base64"), format: "wav" } },
          { type: "text", text: "In one sentence." },
        ],
      },
    ],
  },
});
assert.ok(chat.data);
const completion: components["schemas"]["ChatCompletion"] = chat.data;
assert.equal(completion.choices[0]?.message.content, text);
assert.equal(completion.speechsum.complete, true);

const queued = await client.POST("/v1/audio/summaries/jobs", { body: { file }, bodySerializer: form });
assert.ok(queued.data);
const params = { path: { id: queued.data.id } };
const events = await client.GET("/v1/audio/summaries/jobs/{id}/events", { params, parseAs: "text" });
assert.match(String(events.data), /data: \[DONE\]\s*$/);
const job = await client.GET("/v1/audio/summaries/jobs/{id}", { params });
assert.ok(job.data);
const state: "queued" | "running" | "succeeded" | "failed" | "cancelled" = job.data.state;
assert.equal(state, "succeeded");
assert.equal(job.data.summary?.summary, text);
const result = await client.GET("/v1/audio/summaries/jobs/{id}/result", { params });
assert.equal(result.data?.summary, text);
const jobs = await client.GET("/v1/audio/summaries/jobs", { params: { query: { limit: 5 } } });
assert.deepEqual(jobs.data?.data.map((one) => one.id), [queued.data.id]);

const models = await client.GET("/v1/models");
assert.deepEqual(models.data?.data.map((one) => one.id), ["test-model@3"]);
console.log("all routes called");
