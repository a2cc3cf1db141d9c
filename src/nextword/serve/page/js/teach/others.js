// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { plural } from '../numbers.js';
import { store } from '../store.js';
import { word } from '../tokens.js';
import { add, drop } from './other-sentences.js';
import { teaching } from './teaching.js';

const END = html` <span class="turn-end"><span aria-hidden="true">·</span><span
  class="unseen">(end of the turn)</span></span> `;

/** Other sentences, read before and after: which next words became wrong, and which right. */
export class NwTeachOthers extends LitElement {
  static properties = { others: { attribute: false } };

  constructor() {
    super();
    /** @type {import('./other-sentences.js').Other[]} */
    this.others = [];
  }

  createRenderRoot() { return this; }

  render() {
    const own = this.others.some((other) => other.own);
    return html`<section class="part" id="teach-others" aria-label="Other sentences">
      <h3>Other sentences</h3>
      <p class="hint">${own ? 'Your own, kept in this browser.' : this.others.length
        ? 'Drawn from text that was held out; add some of your own to watch those instead.'
        : 'Add sentences that must stay as they are; they are read before and after a lesson.'}</p>
      ${this.others.length ? html`<ul class="watched">${this.others.map(
        (other, i) => this.#sentence(other, i))}</ul>` : nothing}
      <form class="adding" @submit=${this.#add}>
        <label for="teach-other">Watch another sentence</label>
        <input id="teach-other" type="text" autocomplete="off" spellcheck="false">
        <button type="submit" id="teach-other-add">Add</button></form></section>`;
  }

  /** @param {import('./other-sentences.js').Other} other @param {number} i */
  #sentence({ turns, before, after, own, cut, whole }, i) {
    const same = before && after && before.ids.length === after.ids.length;
    return html`<li><div class="words">${before ? this.#words(before, same ? after : null)
      : turns.map((turn, at) => [at ? END : nothing, html`<span>${turn}</span>`])}${cut
        ? html`<span class="cut">…</span>` : nothing}${whole === null ? nothing
        : html` <details class="whole"><summary>The whole text</summary>${whole}</details>`}</div>
      <div class="counts">${before ? html`<nw-number .value=${before.n_right} .unit=${'count'}
          .name=${`others.before[${i}]`}></nw-number>${same ? html` → <nw-number
          .value=${after.n_right} .unit=${'count'} .name=${`others.after[${i}]`}></nw-number>`
          : nothing} of ${plural(before.n_judged, 'word')} right` : nothing}
        ${own ? html`<button type="button" class="small" aria-label="Remove: ${turns[0]}"
          @click=${() => this.#drop(turns[0])}>Remove</button>` : nothing}</div></li>`;
  }

  /**
   * A sentence as it was written; a word whose verdict changed is marked.
   * @param {any} before @param {any} after null: there is none yet, or it is of other words
   */
  #words(before, after) {
    const ends = store.state.card.end_ids;
    return before.positions.map((/** @type {any} */ { token_id: id, token }, /** @type {number} */
      at) => {
      const change = after && at ? changed(before, after, at - 1) : '';
      if (change) return html` ${marked(token, change)} `;
      if (!ends.includes(id)) return token;
      return at && at < before.ids.length - 1 ? END : nothing;
    });
  }

  /** @param {Event} event */
  #add(event) {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (this.querySelector('#teach-other'));
    const text = input.value.trim();
    if (!text) return;
    add(store.state.card.name, text);
    input.value = '';
    teaching.others();
  }

  /** @param {string} text */
  #drop(text) {
    drop(store.state.card.name, text);
    teaching.others();
  }
}

/** @param {string} token @param {string} change */
function marked(token, change) {
  const wrong = change === 'newly wrong';
  return html`<span class="word ${wrong ? 'newly-wrong' : 'newly-right'}">${word(token)}</span><span
    class="badge"><span class="sign ${wrong ? 'wrong' : 'right'}" aria-hidden="true">${wrong
      ? '✗' : '✓'}</span> ${change}</span>`;
}

/**
 * What became of the word after a position.
 * @param {any} before @param {any} after @param {number} at
 */
function changed(before, after, at) {
  const [was, is] = [before.positions[at].right, after.positions[at].right];
  return was === is ? '' : is ? 'newly right' : 'newly wrong';
}

customElements.define('nw-teach-others', NwTeachOthers);
