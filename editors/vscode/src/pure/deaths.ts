/** How often a server may die before it is left alone. Pure. */

const MOST = 5;
const SHORT_LIFE_MS = 60_000;
const FIRST_WAIT_MS = 500;

/** Deaths one after the other; a server that lived for a minute begins a new row. */
export class Deaths {
  #count = 0;
  #born = 0;

  born(nowMs: number): void {
    this.#born = nowMs;
  }

  /** How many milliseconds to wait before it is started again; undefined: no more. */
  died(nowMs: number): number | undefined {
    this.#count = nowMs - this.#born < SHORT_LIFE_MS ? this.#count + 1 : 1;
    return this.#count > MOST ? undefined : FIRST_WAIT_MS * 2 ** (this.#count - 1);
  }

  forget(): void {
    this.#count = 0;
  }
}
