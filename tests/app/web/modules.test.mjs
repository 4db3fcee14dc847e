// The page's modules that need no browser. `test_modules.py` runs this with Node.js.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionLost, ServiceError, describeError, readError } from "../../../app/web/page/errors.js";
import { EventParser } from "../../../app/web/page/event-parser.js";
import { markdownOf } from "../../../app/web/page/exports.js";
import { describeSpeech, formatBytes, formatClock } from "../../../app/web/page/format.js";
import { findPeaks, isShortEnough } from "../../../app/web/page/peaks.js";
import { describeStage } from "../../../app/web/page/stages.js";
import { KeptRecording } from "../../../app/web/page/kept-recording.js";
import { titleOf } from "../../../app/web/page/templates.js";
import { countFinishedCharacters, cutText } from "../../../app/web/page/text-pieces.js";
import { writeTranscript } from "../../../app/web/page/transcript.js";
import { splitTerms } from "../../../app/web/page/vocabulary.js";

test("events are whole however the text is cut", () => {
  const text = ': keep-alive\n\ndata: {"a":1}\n\nid: 7\ndata: {"b":2}\n\ndata: [DONE]\n\n';
  for (let size = 1; size < text.length; size++) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(found, ['{"a":1}', '{"b":2}', "[DONE]"]);
  }
});

test("an event that broke off is none", () => {
  assert.deepEqual(new EventParser().push('data: {"a":1}\n\ndata: {"b"'), ['{"a":1}']);
});

test("places are code points, not code units", () => {
  const text = "😀 Anna pays. 😀😀 Tom.";
  const citations = [{ start: 0, end: 12 }, { start: 13, end: 20 }];
  const unheard = [{ start: 2, end: 6, kind: "name" }, { start: 16, end: 19, kind: "name" }];
  const pieces = cutText(text, citations, unheard);
  assert.equal(pieces.map((piece) => piece.text).join(""), text);
  assert.deepEqual(pieces.filter((piece) => piece.unheard).map((piece) => piece.text), ["Anna", "Tom"]);
  const ofSecond = pieces.filter((piece) => piece.citation === 1).map((piece) => piece.text);
  assert.equal(ofSecond.join(""), "😀😀 Tom.");
});

test("a span across sentences is cut, and places outside the text do no harm", () => {
  const pieces = cutText("One. Two.", [{ start: 0, end: 4 }, { start: 5, end: 9 }], [{ start: 3, end: 99, kind: "name" }]);
  assert.equal(pieces.map((piece) => piece.text).join(""), "One. Two.");
  assert.deepEqual(pieces.map((piece) => Boolean(piece.unheard)), [false, true, true, true]);
  assert.deepEqual(cutText("", [], []), []);
});

test("only whole sentences are read aloud while the text still comes", () => {
  assert.equal(countFinishedCharacters("It costs 3.5 dollars"), 0);
  assert.equal(countFinishedCharacters("One is done. The next"), "One is done.".length);
  assert.equal(countFinishedCharacters("- a point\n- the ne"), "- a point\n".length);
});

test("stages are told in words, unknown ones too", () => {
  assert.deepEqual(describeStage({ stage: "windows", done: 3, of: 12 }), {
    text: "Taking notes on the parts of the recording: 3 of 12.",
    share: 0.25,
  });
  assert.deepEqual(describeStage({ stage: "decode", done: null, of: null }).share, null);
  assert.match(describeStage({ stage: "thinking" }).text, /thinking/);
});

test("errors have plain words and those of the service", () => {
  const full = readError('{"error":{"message":"The queue is full.","code":"queue_full"}}', 503, "7");
  assert.equal(describeError(full), "The service is full at the moment. The service says: The queue is full. Try again in 7 s.");
  assert.match(describeError(readError("<html>bad gateway</html>", 502, null)), /status 502/);
  assert.match(describeError(new ConnectionLost()), /connection to the service was lost/);
  assert.equal(describeError(new ServiceError({ message: "A new one.", code: "new" }, 400)), "A new one.");
});

test("Markdown means nothing inside what is quoted", () => {
  const answer = {
    summary: "The summary.", warnings: ["a <b>warning</b>"], model: "m@1",
    answers: [{ question: "*Who?*", answer: "Anna." }],
    transcript: { segments: [{ start: 61, end: 63, text: "<b>Anna</b>" }] },
    citations: [
      { text: "*One*", windows: [2], times: [{ start: 60, end: 125 }] },
      { text: "Two", windows: [], times: [] },
    ],
  };
  const text = markdownOf(answer, "[a](b)");
  assert.match(text, /^# Summary of \\\[a\\\]\(b\)\n\nThe summary\.\n/);
  assert.match(text, /- a \\<b\\>warning\\<\/b\\>/);
  assert.match(text, /- 1:00–2:05: \\\*One\\\*\n/);
  assert.doesNotMatch(text, /Two/);
  assert.match(text, /\*\*\\\*Who\?\\\*\*\*\n\nAnna\.\n/);
  assert.match(text, /- 1:01: \\<b\\>Anna\\<\/b\\>\n/);
});

test("times, sizes and peaks", () => {
  assert.deepEqual([0, 65, 3661].map(formatClock), ["0:00", "1:05", "1:01:01"]);
  assert.deepEqual([10, 2_500_000].map(formatBytes), ["1 kB", "2.5 MB"]);
  assert.deepEqual([...findPeaks([[0, -0.5, 0.25, 0.125], [0, 0, -1, 0]], 2)], [0.5, 1]);
  assert.deepEqual([isShortEnough(1e6, 60), isShortEnough(1e6, 1300), isShortEnough(30e6, Infinity)], [true, false, false]);
});

test("a transcript becomes a text and subtitles, in which nothing is markup", () => {
  const segments = [
    { start: 0, end: 1.2, text: "One  --> <i>two</i>\n& three." },
    { start: 3661.0005, end: 3662.999, text: "Four." },
  ];
  const transcript = { text: "One. Four.", segments };
  assert.equal(writeTranscript(transcript, "txt"), "One. Four.\n");
  assert.equal(
    writeTranscript(transcript, "srt"),
    "1\n00:00:00,000 --> 00:00:01,200\nOne -> <i>two</i> & three.\n\n2\n01:01:01,001 --> 01:01:02,999\nFour.\n",
  );
  assert.equal(
    writeTranscript(transcript, "vtt"),
    "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\nOne -&gt; &lt;i&gt;two&lt;/i&gt; &amp; three.\n" +
      "\n01:01:01.001 --> 01:01:02.999\nFour.\n",
  );
});

test("names are separated as the service separates them", () => {
  assert.deepEqual(splitTerms(" Aoife Gallagher, ;Kubernetes\r\nGrafana\n"), ["Aoife Gallagher", "Kubernetes", "Grafana"]);
  assert.equal(titleOf("meeting_minutes"), "Meeting minutes");
});

test("a kept recording is used again only for what was heard in the same way, and until its time is over", () => {
  const formWith = (fields) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    return form;
  };
  const [kept, file] = [new KeptRecording(), {}];
  const inAMinute = Date.now() / 1000 + 60;
  kept.take({ recording_id: "rec-1", expires_at: inAMinute }, file, formWith({ vocabulary: "Anna", style: "tldr" }));
  assert.equal(kept.idFor(file, formWith({ vocabulary: "Anna", style: "bullets" })), "rec-1");
  assert.equal(kept.idFor(file, formWith({ vocabulary: "Bob" })), "");
  assert.equal(kept.idFor(file, formWith({ vocabulary: "Anna", model: "other" })), "");
  assert.equal(kept.idFor({}, formWith({ vocabulary: "Anna" })), "");
  kept.take({ recording_id: "rec-1", expires_at: inAMinute - 61 }, file, formWith({}));
  assert.equal(kept.id, "");
  kept.take({ recording_id: null, expires_at: null });
  assert.equal(kept.id, "");
});

test("where somebody speaks is said in words, and not without end", () => {
  const spans = (count) => Array.from({ length: count }, (_, index) => ({ start: 10 * index, end: 10 * index + 4 }));
  assert.equal(describeSpeech([]), "");
  assert.equal(describeSpeech(spans(2)), "Speech from 0:00 to 0:04, 0:10 to 0:14.");
  assert.match(describeSpeech(spans(7)), /0:40 to 0:44 and in 2 more places\.$/);
});
