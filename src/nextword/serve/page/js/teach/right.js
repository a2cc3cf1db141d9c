// @ts-check
/** “This should have been …”: what carries a wrong word, or a wrong reply, to Teach. */

import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { store } from '../store.js';
import { quoted } from '../tokens.js';
import { wordAfter } from './correction.js';

/** Under panel 2's heading: what was said at this position, what came, and the way to mend it. */
export class NwShouldBe extends LitElement {
  static properties = { read: { attribute: false }, position: { attribute: false } };

  constructor() {
    super();
    /** @type {any} */
    this.read = null;
    this.position = 0;
  }

  createRenderRoot() { return this; }

  render() {
    const here = this.read?.positions[this.position];
    if (!here || store.state.recorded) return nothing;
    const { actual, predicted, right } = here;
    return html`<p class="should-be">${right
      ? html`<span class="muted">${quoted(predicted.token)} came next, as it said.</span>`
      : html`<span>Next it said ${quoted(predicted.token)}${actual
        ? html`; ${quoted(actual.token)} came.` : '.'}</span>
      <span class="buttons">${actual ? html`<button type="button" id="should-be"
          @click=${() => this.#teach({ right: actual.token_id, said: actual.token })}>This should
          have been ${quoted(actual.token)}</button>` : nothing}
        <button type="button" id="should-be-other" @click=${() => this.#teach({ right: '' })}>
          ${actual ? 'another word …' : 'This should be another word …'}</button></span>`}</p>`;
  }

  /** @param {{right: number | string, said?: string}} should */
  #teach(should) {
    store.correct(wordAfter(this.read, this.position, should));
  }
}
customElements.define('nw-should-be', NwShouldBe);

/** At a step of a reply: another word there, or another reply altogether. */
export class NwReplyShouldBe extends LitElement {
  static properties = {
    ids: { attribute: false }, words: { attribute: false }, was: { attribute: false },
    text: { state: true },
  };

  constructor() {
    super();
    /** @type {number[]} up to the step */
    this.ids = [];
    /** @type {string[]} */
    this.words = [];
    this.was = '';
    this.text = '';
  }

  createRenderRoot() { return this; }

  render() {
    const { turns } = store.state;
    return html`<form class="should-be" @submit=${this.#submit}>
      <label for="reply-should-be">Instead of ${quoted(this.was)} should have come</label>
      <input id="reply-should-be" type="text" autocomplete="off" spellcheck="false"
        .value=${this.text} @input=${(/** @type {{target: HTMLInputElement}} */ { target }) => {
          this.text = target.value;
        }}>
      <span class="buttons"><button type="submit">Teach this word</button>
      ${turns.length ? html`<button type="button" id="reply-whole"
        @click=${() => store.correct({ turns, reply: '' })}>The whole reply should have been …
        </button>` : nothing}</span></form>`;
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const { ids, words, was } = this;
    store.correct({ ids, words, was, right: this.text.trim() });
  }
}
customElements.define('nw-reply-should-be', NwReplyShouldBe);
