const BLOCK_SAMPLES = 256;
/** Long enough for any speech; the wave of more is of its beginning. */
const MAX_BLOCKS = 3_000_000;

/** The loudest sample of each block of a sound. Samples are forgotten as they come, so that an hour takes no more memory than a second. */
export class Loudness {
  samples = 0;
  sampleRate = 0;
  readonly #blocks: number[] = [];
  #inBlock = 0;
  #peak = 0;

  get full(): boolean {
    return this.#blocks.length >= MAX_BLOCKS;
  }

  get seconds(): number {
    return this.sampleRate === 0 ? 0 : this.samples / this.sampleRate;
  }

  /** Samples of the first two channels, from -1 to 1. */
  add(channels: readonly Float32Array[], sampleRate: number): void {
    const [first, second] = channels;
    if (first === undefined || this.full) {
      return;
    }
    this.sampleRate = sampleRate;
    for (let index = 0; index < first.length; index += 1) {
      const loudest = Math.max(Math.abs(first[index] ?? 0), Math.abs(second?.[index] ?? 0));
      if (loudest > this.#peak) {
        this.#peak = loudest;
      }
      this.#inBlock += 1;
      if (this.#inBlock === BLOCK_SAMPLES) {
        this.#blocks.push(this.#peak);
        this.#inBlock = 0;
        this.#peak = 0;
      }
    }
    this.samples += first.length;
  }

  /** So many bars over all of it; the loudest touches the top. */
  bars(count: number): number[] {
    const blocks = this.#inBlock > 0 ? [...this.#blocks, this.#peak] : this.#blocks;
    const bars = Array.from({ length: count }, (_, bar) => {
      const from = Math.floor((bar * blocks.length) / count);
      const to = Math.max(from + 1, Math.floor(((bar + 1) * blocks.length) / count));
      return blocks.slice(from, to).reduce((most, peak) => (Number.isFinite(peak) ? Math.max(most, peak) : most), 0);
    });
    const top = Math.max(...bars);
    return top === 0 ? bars : bars.map((bar) => bar / top);
  }
}
