// Reads server-sent events (WHATWG HTML, 9.2) as they arrive. Knows nothing about requests.

/** Takes text in pieces of any size and gives back the data of the events that are whole. */
export class EventParser {
  #rest = "";

  /** Return the `data` of every event that this piece has completed. */
  push(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    return blocks
      .map((block) =>
        block
          .split("\n")
          .filter((line) => line.startsWith("data:"))
          .map((line) => line.slice(5).replace(/^ /, ""))
          .join("\n"),
      )
      .filter((data) => data !== "");
  }
}
