// Draws a recording over time: how loud it is, the windows that were read, where somebody speaks, and what is being played.

const STRIP = 6; // height of the strip of speech at the bottom, in pixels

/** The picture. onSeek: gets the second that was clicked. */
export class Waveform {
  #canvas;
  #peaks = null;
  #seconds = 0;
  #windows = [];
  #speech = [];
  #chosen = new Set();
  #position = 0;

  constructor(canvas, onSeek) {
    this.#canvas = canvas;
    canvas.addEventListener("click", (event) => {
      const { left, width } = canvas.getBoundingClientRect();
      if (this.#seconds) onSeek(((event.clientX - left) / width) * this.#seconds);
    });
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Show another recording. peaks: null if it was not decoded. seconds: 0 if the length is not known. */
  show(peaks, seconds) {
    [this.#peaks, this.#seconds] = [peaks, seconds];
    this.#draw();
  }

  /**
   * Mark the windows that were read, and the spans in which somebody speaks. seconds: the length that the service
   * measured.
   */
  mark(windows, speech, seconds) {
    [this.#windows, this.#speech] = [windows, speech];
    this.#seconds ||= seconds;
    this.choose([]);
  }

  /** Highlight windows by their numbers. */
  choose(indexes) {
    this.#chosen = new Set(indexes);
    this.#draw();
  }

  /** Show what is being played. */
  moveTo(second) {
    this.#position = second;
    this.#draw();
  }

  #draw() {
    const canvas = this.#canvas;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    // Setting the size empties the canvas.
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const x = (second) => (second / this.#seconds) * width;
    const fillSpeech = (top, tall) => {
      for (const { start, end } of this.#seconds ? this.#speech : []) {
        pen.fillRect(x(start), top, Math.max(x(end) - x(start), 1), tall);
      }
    };
    if (this.#seconds) {
      for (const window of this.#windows) {
        pen.fillStyle = colour(this.#chosen.has(window.index) ? "chosen" : "window");
        // A gap of a pixel keeps neighbours apart.
        pen.fillRect(x(window.start), 0, Math.max(x(window.end) - x(window.start) - 1, 1), height);
      }
    }
    pen.fillStyle = colour("wave");
    if (this.#peaks) {
      for (let column = 0; column < width; column++) {
        const amplitude = this.#peaks[Math.floor((column * this.#peaks.length) / width)];
        const bar = Math.max(amplitude * height, 1);
        pen.fillRect(column, (height - bar) / 2, 1, bar);
      }
    } else {
      // Nothing is known of the loudness: bars of one height stand where somebody speaks.
      pen.fillRect(0, height / 2, width, 1);
      fillSpeech(height / 4, height / 2);
    }
    pen.fillStyle = colour("accent");
    fillSpeech(height - STRIP, STRIP);
    if (this.#seconds && this.#position) {
      pen.fillRect(x(this.#position) - 1, 0, 2, height);
    }
  }
}
