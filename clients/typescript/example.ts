// An example of the API's types with nothing but `fetch`: a summary, a stream, and a job.
//
//     npm ci && npm run example -- http://127.0.0.1:8000 recording.wav [KEY]
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { components } from "./speechsum.js";

type Schemas = components["schemas"];
export type Summary = Schemas["SummaryResponse"];
export type Job = Schemas["JobResponse"];
export type SummaryFields = Omit<Schemas["SummaryForm"], "file" | "url" | "stream">;
export type StreamEvent = Schemas["ProgressEvent"] | Schemas["DeltaEvent"] | Summary;

/** The service answered with an error. `code` is stable; `message` says what is wrong and which setting moves the limit. */
export class ServiceError extends Error {
  constructor(readonly detail: Schemas["ErrorDetail"], readonly status?: number) {
    super(detail.message);
  }
}

export class Client {
  constructor(private readonly baseUrl: string, private readonly key?: string) {}

  async summarize(recording: File, fields: SummaryFields = {}): Promise<Summary> {
    const response = await this.post("/v1/audio/summaries", form(recording, fields));
    return (await response.json()) as Summary;
  }

  /** Yields what happens while a recording is summarized. Leaving the loop ends the work. */
  async *stream(recording: File, fields: SummaryFields = {}): AsyncGenerator<StreamEvent> {
    const body = form(recording, fields);
    body.append("stream", "true");
    const response = await this.post("/v1/audio/summaries", body);
    for await (const data of eventData(response)) {
      if (data === "[DONE]") return;
      const event = JSON.parse(data) as StreamEvent | Schemas["ErrorResponse"];
      if ("error" in event) throw new ServiceError(event.error);
      yield event;
    }
    throw new Error("The stream broke off before the summary was complete.");
  }

  async createJob(recording: File, fields: SummaryFields = {}): Promise<Job> {
    const response = await this.post("/v1/audio/summaries/jobs", form(recording, fields));
    return (await response.json()) as Job;
  }

  /** Asks for a job until it has ended: after a quarter of a second, then less and less often. */
  async waitForJob(id: string): Promise<Job> {
    for (let wait = 250; ; wait = Math.min(2 * wait, 10_000)) {
      const response = await this.send(`/v1/audio/summaries/jobs/${encodeURIComponent(id)}`, {});
      const job = (await response.json()) as Job;
      if (job.state !== "queued" && job.state !== "running") return job;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  private post(path: string, body: FormData): Promise<Response> {
    // With the same key, a repeat of this request would get the same answer.
    return this.send(path, { method: "POST", body, headers: { "idempotency-key": crypto.randomUUID() } });
  }

  private async send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.key) headers.set("authorization", `Bearer ${this.key}`);
    const response = await fetch(this.baseUrl + path, { ...init, headers });
    if (response.ok) return response;
    throw new ServiceError(((await response.json()) as Schemas["ErrorResponse"]).error, response.status);
  }
}

function form(recording: File, fields: SummaryFields): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    // A list becomes several fields of one name.
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) data.append(name, String(one));
    }
  }
  data.append("file", recording);
  return data;
}

/** Yields the data of each server-sent event of a response. */
async function* eventData(response: Response): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice("data: ".length));
      if (data.length > 0) yield data.join("\n");
    }
  }
}

async function main(url: string, path: string, key?: string): Promise<void> {
  const client = new Client(url, key);
  const recording = new File([new Uint8Array(await readFile(path))], basename(path));

  const summary = await client.summarize(recording, { style: "bullets", length: "about 60 words" });
  console.log("summary:", summary.summary, summary.complete, summary.warnings);

  let text = "";
  for await (const event of client.stream(recording, { template: "voicemail" })) {
    if (event.object === "audio.summary.progress") console.log("stage:", event.stage);
    else if (event.object === "audio.summary.delta") text += event.delta;
    else console.log("streamed:", text, event.template);
  }

  const { answers } = await client.summarize(recording, { questions: ["Who calls?", "When is the meeting?"] });
  for (const { question, answer } of answers ?? []) console.log("answer:", question, answer);

  const queued = await client.createJob(recording, { style: "minutes" });
  const job = await client.waitForJob(queued.id);
  console.log("job:", job.state, job.summary?.summary);

  try {
    await client.summarize(recording, { length: "endless" });
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    console.log("refused:", error.status, error.detail.code, error.detail.param);
  }
}

const [url, path, key] = process.argv.slice(2);
if (url && path) await main(url, path, key);
else throw new Error("usage: node built/example.js URL RECORDING [KEY]");
