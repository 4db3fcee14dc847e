// What the service is doing, in words. Knows nothing about the page.

const WORDS = {
  received: "The recording has arrived.",
  decode: "Reading the recording.",
  speech: "Looking for speech.",
  template: "Choosing a template.",
  queue: "Waiting for its turn.",
  windows: "Taking notes on the parts of the recording",
  merge: "Merging the notes.",
  sampling: "Writing several summaries",
  choosing: "Choosing the best summary.",
  questions: "Answering the questions",
  engine_transcribe: "Writing down what is said.",
  engine_prefill: "Listening.",
  engine_decode: "Writing the summary.",
};

/** Return a stage as `{text, share}`. share: how much of it is done, from 0 to 1, or null if nobody can say. */
export function describeStage({ stage, done, of }) {
  const words = WORDS[stage] ?? `Working (${stage}).`;
  if (!(of > 1)) return { text: words, share: null };
  return { text: `${words.replace(/\.$/, "")}: ${done} of ${of}.`, share: done / of };
}
