// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import './head-map.js';
import { api } from '../api.js';
import { exp, formula, fraction, op, row as line, sum, vector } from '../formula.js';
import { stretch } from '../numbers.js';
import { vector as slice } from '../tensors.js';
import { quoted, word } from '../tokens.js';
import { Watching } from '../watching.js';
import {
  carried, firstColumn, headOf, hidden, product, sharing, strongest,
} from './head-rows.js';
import { FULL, stepsOf } from './head-steps.js';

const COLUMNS = 12; // a longer sentence shows fewer words at a time, so that their numbers fit
const narrow = matchMedia('(max-width: 640px)');

/** Panel 3: one head, in four steps over the same columns. */
export class NwHead extends Watching {
  static keys = ['read', 'position', 'layer', 'head', 'hover'];
  static properties = {
    first: { state: true }, step: { state: true }, open: { state: true }, picked: { state: true },
  };

  #redraw = () => this.requestUpdate();
  #of = '';

  constructor() {
    super();
    this.first = /** @type {number | null} */ (null);
    /** how many steps are shown; 0: all */
    this.step = 0;
    this.open = false;
    this.picked = /** @type {number | null} */ (null);
  }

  connectedCallback() {
    super.connectedCallback();
    narrow.addEventListener('change', this.#redraw);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    narrow.removeEventListener('change', this.#redraw);
  }

  /** @param {import('../store.js').State} shown */
  async load({ ids, position, layer, head, read, card }) {
    if (!ids || position === null || layer === null || head === null) return null;
    const [row, past] = await Promise.all([
      api.row(ids, position, layer, this.slotted('row')),
      api.past(ids, layer, head, this.slotted('past')),
    ]);
    const of = `${position} ${layer} ${head}`;
    if (of !== this.#of) [this.first, this.picked, this.#of] = [null, null, of];
    const parts = headOf({ row, past, card, layer, head, position });
    return { ids, position, layer, head, read, card, row, parts };
  }

  render() {
    const { view } = this;
    return html`<nw-panel .number=${3} .heading=${'One head, step by step'} .name=${'head-panel'}
      .sentence=${view ? this.#sentence(view) : ''}>
      <div part="numbers">${this.trouble()}${view ? this.#numbers(view) : nothing}
        <nw-head-map></nw-head-map></div>
      <div part="formula">
        ${formula(vector('score', 'i, j'), op('='),
          vector('query', 'i'), op('·'), vector('key', 'j'))}
        ${formula(vector('weight', 'i, j'), op('='), fraction(exp(vector('score', 'i, j')),
          sum(line('k', op('≤'), 'i'), exp(vector('score', 'i, k')))))}
        ${formula(vector('vector_with_context', 'i'), op('='), sum(line('j', op('≤'), 'i'),
          line(vector('weight', 'i, j'), op('×'), vector('value', 'j'))))}</div>
    </nw-panel>`;
  }

  /** @param {any} view */
  #sentence({ read, position, layer, head, card, parts }) {
    const says = html`Head ${head} of layer ${layer} compares the query of
      ${quoted(read.positions[position].token)} with the key of every earlier word.`;
    const others = sharing(card, head);
    if (!others.length) return says;
    return html`${says} It shares key/value head ${parts.shared} with
      head${others.length > 1 ? 's' : ''} ${others.join(', ')}.`;
  }

  /** @param {any} view */
  #numbers(view) {
    const { parts, read } = view;
    const most = columnsFor(parts.words);
    const first = firstColumn(parts, most, this.first);
    const count = Math.min(most, parts.words - first);
    const columns = Array.from({ length: count }, (_, c) => first + c);
    const toggle = () => { this.open = !this.open; };
    const steps = stepsOf({ parts, card: view.card, columns, open: this.open, toggle });
    const last = Math.min(this.step, steps.length) || steps.length;
    return html`
      <div class="sums"><span class="letter query">Q</span>
        <span class="name">query of ${quoted(read.positions[view.position].token)}</span>
        <nw-vector .data=${parts.query.values} .hue=${'query'} .label=${'query'}
          .name=${`${parts.query.name}[${parts.head},${parts.position},*]`}></nw-vector></div>
      <div class="toolbar">
        ${this.#stepping(steps.length, last)}${this.#paging(parts, first, most)}</div>
      <div class="scroller" tabindex="0" role="region" aria-label="The steps of this head">
        <table class="steps">
          <caption class="unseen">Each column is a word that is looked at</caption>
          <thead><tr><th scope="col">step</th>
            ${columns.map((j) => this.#heading(view, j))}<th scope="col" class="sum">sum</th></tr>
          </thead>
          ${steps.slice(0, last).map((step, i) => html`<tbody
            class=${this.step === i + 1 ? 'now' : ''}>${step}</tbody>`)}
        </table></div>
      ${parts.words > columns.length ? html`<p class="muted">Sums are over all words, not only over
        these ${columns.length}.</p>` : nothing}
      ${parts.width > FULL ? this.#one(view) : nothing}
      ${last === steps.length ? this.#way(view) : nothing}`;
  }

  /** @param {number} count @param {number} last */
  #stepping(count, last) {
    const to = (/** @type {number} */ n) => () => { this.step = n; };
    const walking = this.step > 0;
    return html`<span class="buttons">
      <button type="button" ?disabled=${!walking} @click=${to(this.step - 1)}>Back</button>
      <button type="button" ?disabled=${walking && last === count}
        @click=${to(this.step + 1)}>Step</button></span>
      <span class="muted">${walking ? `step ${last} of ${count}`
        : 'all steps; Step goes through them one by one'}</span>`;
  }

  /** @param {import('./head-rows.js').Head} parts @param {number} first @param {number} most */
  #paging({ words }, first, most) {
    if (words <= most) return nothing;
    const go = (/** @type {number} */ to) => () => { this.first = Math.max(0, to); };
    return html`<span class="buttons paging">
      <span class="muted">${stretch('word', first, first + most, words)}</span>
      <button type="button" ?disabled=${first === 0} @click=${go(first - most)}>Earlier</button>
      <button type="button" ?disabled=${first + most >= words}
        @click=${go(first + most)}>Later</button>
    </span>`;
  }

  /** @param {any} view @param {number} j */
  #heading({ read, parts, position, card, layer }, j) {
    const masked = hidden(position, j, card.windows[layer]);
    const token = word(read.positions[j].token);
    const name = html`<span class="word">${token}</span> <span class="muted">${j}</span>`;
    const chosen = parts.width > FULL && (this.picked ?? strongest(parts)) === j;
    return html`<th scope="col" class=${masked ? 'masked' : ''} ?data-chosen=${chosen}>
      ${parts.width > FULL && !masked ? html`<button type="button" aria-pressed=${String(chosen)}
        @click=${() => { this.picked = j; }}>${name}</button>` : name}</th>`;
  }

  /** A wide head: the vectors of one word that is looked at. @param {any} view */
  #one({ parts, read, position }) {
    const j = Math.min(this.picked ?? strongest(parts), position);
    const each = Array.from({ length: parts.width }, (_, d) => d);
    const name = (/** @type {'product' | 'carried'} */ what) =>
      `${what}[${parts.layer},${parts.head},${position},${j},*]`;
    const lines = /** @type {[string, string, string, ArrayLike<number>, string, boolean][]} */ ([
      ['key', 'K', 'key', slice(parts.keys, j), `${parts.keyName}[${parts.shared},${j},*]`, true],
      ['', '', 'query × key, by dimension', each.map((d) => product(parts, j, d)),
        name('product'), false],
      ['value', 'V', 'value', slice(parts.values, j),
        `blocks.${parts.layer}.attention.value[${parts.shared},${j},*]`, true],
      ['', '', 'weight × value', each.map((d) => carried(parts, j, d)), name('carried'), false],
    ]);
    return html`<div class="part"><h3>The word looked at: ${quoted(read.positions[j].token)}</h3>
      <p class="muted">Choose another by its heading in the table.</p>
      <div class="sums">${lines.map(([hue, letter, label, data, full, exact]) => html`
        <span class=${hue ? `letter ${hue}` : 'operator'}>${letter}</span>
        <span class="name">${label}</span>
        <nw-vector .data=${data} .hue=${hue} .label=${label} .name=${full} .clickable=${exact}>
        </nw-vector>`)}
        <span class="operator">∑</span><span class="name">the vector with context</span>
        <nw-vector .data=${parts.context.values} .hue=${'value'} .label=${'the vector with context'}
          .name=${`${parts.context.name}[${parts.head},${position},*]`}></nw-vector></div></div>`;
  }

  /** @param {any} view */
  #way({ parts, position, card }) {
    const many = card.n_heads > 1;
    const heads = many ? 'The contexts of all heads, side by side' : 'The context';
    return html`<div class="part"><h3>Its way into the residual</h3>
      <p>${heads}, ${card.output_projection ? 'times the output' : 'without any'} projection,
        ${many ? 'make' : 'makes'} what attention adds to the residual.</p>
      <div class="sums"><span class="operator">→</span><span class="name">attention adds</span>
        <nw-vector .data=${parts.output.values} .label=${'what attention adds'}
          .name=${`${parts.output.name}[${position},*]`}></nw-vector></div></div>`;
  }
}

/** How many words fit beside each other. @param {number} words */
function columnsFor(words) {
  if (narrow.matches) return window.innerWidth < 420 ? 2 : 3;
  if (window.innerWidth < 1000) return 6;
  return words <= COLUMNS ? COLUMNS : 10;
}

customElements.define('nw-head', NwHead);
