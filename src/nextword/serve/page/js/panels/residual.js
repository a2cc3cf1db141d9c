// @ts-check
/** Panel 4: the residual, what each part adds to it, the account of a logit, and the next word. */

import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { exp, formula, fraction, op, row, sub, sum, text, vector } from '../formula.js';
import { largest } from '../numbers.js';
import { store } from '../store.js';
import { quoted } from '../tokens.js';
import { Watching } from '../watching.js';
import { blockOf } from './lens.js';
import '../elements/nw-number.js';
import '../elements/nw-panel.js';
import '../elements/nw-vector.js';
import './account.js';
import './next-word.js';

/**
 * @typedef {{sign: string, label: string, name: string, data: ArrayLike<number>,
 *   stage?: string}} Line
 *   A line of the addition; `stage` is the lens's name for it, where a word can be read off.
 */

const SENTENCE = 'What attention found is added to what was there before, and the fully connected '
  + 'layer turns the sum into one number for each word.';
const FORMULA = [
  formula(vector('after', 'i'), op('='), vector('before', 'i'), op('+'), vector('attention', 'i')),
  formula(text('logit(word)'), op('='), text('weights(word)'), op('·'), vector('residual', 'i'),
    op('+'), 'bias'),
  formula(text('probability(word)'), op('='), fraction(
    exp(row(text('logit(word)'), op('−'), 'largest')),
    sum('v', exp(row(sub('logit', 'v'), op('−'), 'largest'))),
  )),
];

/**
 * The addition of one layer, line by line.
 * @param {any} card @param {any} found @param {number} layer @returns {Line[]}
 */
function lines(card, { rows }, layer) {
  const block = `blocks.${layer}.`;
  const after = card.norm !== 'none' && card.norm_placement === 'after'
    ? ', brought to a standard length' : '';
  const [entering, before] = layer === 0 ? ['before: the word vector', 'residual']
    : [`before: what layer ${layer - 1} left`, `blocks.${layer - 1}.residual_post`];
  const all = [
    ['', entering, 'residual_pre', before],
    ['+', 'what attention found', 'attention.output', ''],
    ['=', `after attention${after}`, 'residual_mid', `${block}residual_mid`],
    ['+', 'what the feed-forward adds', 'feed_forward.output', ''],
    ['=', `after the feed-forward${after}`, 'residual_post', `${block}residual_post`],
  ];
  const parts = rows.get(`${block}feed_forward.output`) ? all : all.slice(0, 3);
  return parts.map(([sign, label, point, stage]) => ({
    sign, label, stage, name: block + point, data: rows.get(block + point).data,
  }));
}

/** What the last layer hands over. @param {any} card @param {any} found @returns {Line[]} */
function ending(card, { ends, layer }) {
  const last = { sign: '', label: 'the word vector', name: 'residual', stage: 'residual' };
  const lone = card.n_layers === 0 ? [{ ...last, data: ends.get('residual').data }] : [];
  const normed = ends.get('final_norm');
  if (!normed || (card.n_layers && layer !== card.n_layers - 1)) return lone;
  return [...lone, {
    sign: '→', label: 'brought to a standard length', name: 'final_norm', data: normed.data,
  }];
}

export class NwResidual extends Watching {
  static keys = ['ids', 'position', 'layer', 'card'];

  /** @param {any} shown */
  async load({ ids, position, layer, card, read }) {
    if (!ids || !card || position === null) return null;
    const deep = card.n_layers > 0;
    const [ends, rows, lens] = await Promise.all([
      api.ends(ids, position, this.slotted('ends')),
      deep ? api.row(ids, position, layer, this.slotted('row')) : null,
      api.lens(ids, blockOf(position, ids.length), this.slotted('lens')),
    ]);
    return { ends, rows, lens, position, layer, token: read.positions[position].token };
  }

  render() {
    const { card } = store.state;
    const found = this.view;
    return html`<nw-panel .number=${card?.n_layers ? 4 : 3}
      .heading=${'The residual and the fully connected layer'}
      .sentence=${SENTENCE} .name=${'residual'}>
      <div part="numbers">
        ${this.trouble()}
        ${found && card ? this.addition(card, found) : nothing}
        <nw-account id="account"></nw-account>
        <nw-next-word></nw-next-word>
      </div>
      <div part="formula">${FORMULA}</div>
    </nw-panel>`;
  }

  /** @param {any} card @param {any} found */
  addition(card, found) {
    const { layer, position, token } = found;
    const parts = [...(found.rows ? lines(card, found, layer) : []), ...ending(card, found)];
    const limit = Math.max(...parts.map(({ data }) => Math.abs(data[largest(data, true)])));
    const where = found.rows ? `, layer ${layer}` : '';
    return html`<h3>${quoted(token)} at position ${position}${where}</h3>
      <div class="addition" role="list">${parts.map((part) => this.line(part, found, limit))}</div>
      <p class="hint">The words in “would say” are read off by sending the residual of that stage
        straight to the fully connected layer: approximate.</p>`;
  }

  /** @param {Line} line @param {any} found @param {number} limit */
  line({ sign, label, name, data, stage }, { lens, position }, limit) {
    return html`<div role="listitem" class="line ${sign === '=' ? 'result' : ''}">
      <span class="sign" aria-hidden="true">${sign}</span>
      <span class="label">${label}</span>
      <nw-vector .data=${data} .name=${`${name}[${position},*]`} .label=${label}
        .limit=${limit}></nw-vector>
      ${stage ? this.reading(lens, stage, position) : nothing}
    </div>`;
  }

  /**
   * The word that would be read off at a stage.
   * @param {any} lens @param {string} stage @param {number} position
   */
  reading(lens, stage, position) {
    const cell = lens.cells[lens.stages.indexOf(stage)]?.[lens.positions.indexOf(position)];
    if (!cell) return nothing;
    const [guess] = cell.guesses;
    return html`<span class="reading">would say <b class="word">${quoted(guess.token)}</b>
      <nw-number .value=${guess.probability} .unit=${'percent'}
        .name=${`lens.${stage}[${position}]`}></nw-number></span>`;
  }
}
customElements.define('nw-residual', NwResidual);
