// @ts-check
/** The base class of all elements that draw from the store. */

import { LitElement, html, nothing } from '../vendor/lit/index.js';
import { store } from './store.js';

/** @typedef {import('./store.js').State} State */

const HOVER_WAIT = 60; // ms: a pointer that only passes asks nothing
const FINAL = ['not_recorded', 'version_changed']; // problems that stay however often one asks

/**
 * An element that draws from the store. `keys` name what it watches. What `load` returns (or
 * promises) becomes `view`. Until then it is `aria-busy` and the old view stays; once that takes
 * long, `waiting` is true, and a view of another sentence goes. A call that a newer one
 * overtook is forgotten; any other failure becomes `problem`, and what stood there before goes.
 */
export class Watching extends LitElement {
  static keys = /** @type {string[]} */ ([]);
  view = /** @type {any} */ (null);
  waiting = false;
  problem = /** @type {any} */ (null);
  #turn = 0;
  #timer = 0;
  #seen = /** @type {number[] | null} */ (null); // the sentence that the view is of
  #leave = () => {};

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    const { keys } = /** @type {typeof Watching} */ (this.constructor);
    this.#leave = store.subscribe(() => this.wake(), keys);
    this.wake();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#leave();
    this.#turn += 1;
    this.#settle();
  }

  /** @param {State} _shown @returns {any} */
  load(_shown) { return undefined; }

  /** A slot of this element's own for an api call. @param {string} name */
  slotted(name) { return { slot: `${this.localName}.${name}` }; }

  wake() {
    this.requestUpdate();
    if (this.load !== Watching.prototype.load) store.track(this.#run());
  }

  async #run() {
    this.#turn += 1;
    const turn = this.#turn;
    if (store.state.hover) await new Promise((done) => { setTimeout(done, HOVER_WAIT); });
    if (turn !== this.#turn) return;
    this.setAttribute('aria-busy', 'true');
    this.#timer ||= window.setTimeout(() => this.#wait(), store.LONG);
    this.requestUpdate();
    const { ids } = store.state;
    let [view, problem] = /** @type {any[]} */ ([null, null]);
    try {
      view = await this.load(store.shown);
    } catch (error) {
      problem = error;
    }
    if (turn !== this.#turn) return;
    this.#settle();
    if (problem?.name === 'AbortError') return;
    [this.view, this.problem, this.#seen] = [view, problem, ids];
  }

  #wait() {
    this.waiting = true;
    if (this.#seen !== store.state.ids) this.view = null;
    this.requestUpdate();
  }

  #settle() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.removeAttribute('aria-busy');
    this.waiting = false;
    this.requestUpdate();
  }

  /** A quiet line while one has to wait, or where something could not be shown. */
  trouble() {
    if (this.waiting) return html`<p class="waiting">Working it out …</p>`;
    if (!this.problem) return nothing;
    const { message, code } = this.problem;
    return html`<p class="quiet">${message}${FINAL.includes(code) ? nothing : html`
      <button type="button" class="small" @click=${() => this.wake()}>Try again</button>`}</p>`;
  }
}
