// Questions about a recording that the service keeps, after its summary was written.
import { streamChat } from "./api.js";
import { appendToAnswer, removeAnswer } from "./answers-view.js";

const $ = (id) => document.getElementById(id);
const MOST_TURNS = 10; // earlier questions that the model reads

/** The form below a summary. */
export class FollowUps {
  #kept;
  #view;
  #turns = [];

  /**
   * kept: the `KeptRecording`. view: the `SummaryView`. runRequest: runs a request with its progress on the page.
   * onError: gets what fails.
   */
  constructor(kept, view, runRequest, onError) {
    [this.#kept, this.#view] = [kept, view];
    $("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const question = $("question").value.trim();
      if (question) runRequest((options) => this.#ask(question, options), $("question"));
      else $("question").focus();
    });
    $("delete-recording").addEventListener("click", async () => {
      try {
        await kept.delete();
        this.#close("The service has deleted the recording.");
      } catch (error) {
        onError(error);
      }
    });
  }

  /** Offer to ask about the recording of a new answer, if the service keeps it. */
  offer() {
    this.#turns = [];
    $("question").value = "";
    $("ask-form").hidden = !this.#kept.id;
    $("kept-note").textContent = `The service keeps the recording until ${this.#kept.until}. It is not heard again.`;
  }

  async #ask(question, { signal }) {
    const index = this.#view.answerCount;
    appendToAnswer(index, question, "");
    $("status").textContent = "Answering the question.";
    $("progress").removeAttribute("value");
    try {
      const facts = await streamChat(
        {
          model: $("model").value,
          recording_id: this.#kept.id,
          context: $("context").value.trim() || undefined,
          messages: [...this.#turns.slice(-2 * MOST_TURNS), { role: "user", content: question }],
        },
        { signal, onUpload: () => {}, onText: (text) => appendToAnswer(index, question, text) },
      );
      this.#view.addAnswer({ ...facts, question, answer: facts.summary });
      this.#turns.push({ role: "user", content: question }, { role: "assistant", content: facts.summary });
      $("question").value = "";
      $("status").textContent = "Answered.";
    } catch (error) {
      removeAnswer(index);
      if (error.code === "recording_not_found") {
        this.#kept.forget();
        this.#close("");
      }
      throw error;
    }
  }

  #close(text) {
    $("ask-form").hidden = true;
    $("status").textContent = text;
    $("result-heading").focus();
  }
}
