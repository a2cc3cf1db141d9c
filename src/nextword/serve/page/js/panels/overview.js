// @ts-check
/** Panel 5: every head of every layer, and the word that each layer would say. */

import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { exp, formula, fraction, op, sub, sum, text } from '../formula.js';
import { Watching } from '../watching.js';
import '../elements/nw-panel.js';
import './lens.js';
import './thumbnails.js';

const SENTENCE = 'Each small picture is one head: rows are words that look, columns are words '
  + 'looked at.';
const FORMULA = [
  formula(sub('weight', 'ij'), op('='),
    fraction(exp(sub('score', 'ij')), sum('j', exp(sub('score', 'ij'))))),
  formula(text('entropy(i)'), op('='), op('−'), sum('j', sub('weight', 'ij')), op('·'),
    text('log '), sub('weight', 'ij')),
];

export class NwOverview extends Watching {
  static keys = ['ids', 'card'];
  static properties = { depth: { state: true } };

  constructor() {
    super();
    /** @type {number|null} see NwThumbnails */
    this.depth = null;
  }

  /** @param {any} shown */
  async load({ ids, card }) {
    if (!ids || !card || card.n_layers * card.n_heads < 2) return null;
    return api.overview(ids, this.slotted('overview'));
  }

  render() {
    const reach = (/** @type {CustomEvent} */ event) => { this.depth = event.detail.depth; };
    return html`<nw-panel .number=${5} .heading=${'All layers and heads'} .sentence=${SENTENCE}
      .name=${'overview'}>
      <div part="numbers" @nw-reach=${reach}>
        ${this.trouble()}
        ${this.view ? html`
          <nw-thumbnails .overview=${this.view} .depth=${this.depth}></nw-thumbnails>
          <p class="hint">The largest weight of each stretch of words; the scale is fixed from 0
            to 1.</p>` : nothing}
        <nw-lens></nw-lens>
      </div>
      <div part="formula">${FORMULA}</div>
    </nw-panel>`;
  }
}
customElements.define('nw-overview', NwOverview);
