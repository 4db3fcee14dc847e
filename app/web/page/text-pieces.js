// Cuts a summary where its sentences and the spans in them begin and end. The service counts places in Unicode code
// points, JavaScript in UTF-16 code units. Knows nothing about the page.

/**
 * Return the pieces of `text` in order, as `{text, citation, unheard}`.
 *
 * citation: the index of the citation that the piece belongs to, or -1. unheard: the span that was not heard, or null.
 */
export function cutText(text, citations, unheard) {
  const points = Array.from(text);
  const limit = (place) => Math.min(Math.max(place, 0), points.length);
  const spans = [...citations, ...unheard];
  const cuts = new Set([0, points.length, ...spans.flatMap((span) => [limit(span.start), limit(span.end)])]);
  const places = [...cuts].sort((one, other) => one - other);
  const covers = (place) => (span) => span.start <= place && place < span.end;
  return places.slice(0, -1).map((start, index) => ({
    text: points.slice(start, places[index + 1]).join(""),
    citation: citations.findIndex(covers(start)),
    unheard: unheard.find(covers(start)) ?? null,
  }));
}

/** Return how many characters of `text` are whole sentences or lines, so that they can be read aloud. */
export function countFinishedCharacters(text) {
  let end = 0;
  for (const match of text.matchAll(/[.!?。！？]["')\]]*(?=\s)|\n/g)) end = match.index + match[0].length;
  return end;
}
