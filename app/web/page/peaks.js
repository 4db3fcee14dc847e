// Decodes a recording in the browser and finds how loud it is over time. Knows nothing about the page.

// A browser decodes into 32-bit floats at the recording's own rate: twenty minutes in stereo are half a gigabyte.
export const MOST_SECONDS = 1200;
export const MOST_BYTES = 250e6;
// A recording whose length is not known before it is decoded may have this many bytes: an hour of Opus.
const MOST_BYTES_OF_UNKNOWN_LENGTH = 20e6;
const RATE = 8000;
const BUCKETS = 1000;

/** Return whether a recording is short enough to be decoded here. seconds: its length, or NaN. */
export function isShortEnough(bytes, seconds) {
  if (!Number.isFinite(seconds)) return bytes <= MOST_BYTES_OF_UNKNOWN_LENGTH;
  return seconds <= MOST_SECONDS && bytes <= MOST_BYTES;
}

/** Return `{seconds, peaks}`: the largest amplitude in each of a thousand equal parts. Throws if it cannot be decoded. */
export async function decodePeaks(file) {
  const audio = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  const channels = Array.from({ length: audio.numberOfChannels }, (_, index) => audio.getChannelData(index));
  return { seconds: audio.duration, peaks: findPeaks(channels, BUCKETS) };
}

/** Return the largest amplitude of all channels in each of `count` equal parts. */
export function findPeaks(channels, count) {
  const peaks = new Float32Array(count);
  for (const samples of channels) {
    for (let index = 0; index < samples.length; index++) {
      const bucket = Math.floor((index * count) / samples.length);
      const amplitude = Math.abs(samples[index]);
      if (amplitude > peaks[bucket]) peaks[bucket] = amplitude;
    }
  }
  return peaks;
}
