// @ts-check
/** The account: a logit, or the difference of two, as a sum of what each part contributed. */

import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { counted, shown as printed } from '../numbers.js';
import { store } from '../store.js';
import { marked, quoted, quotedText } from '../tokens.js';
import { Watching } from '../watching.js';
import '../elements/nw-bars.js';
import '../elements/nw-number.js';

/**
 * @typedef {{name: string, label: unknown, amount: number, layer: number|null,
 *   head: number|null}} Part
 */

const MOST = 12; // bars; the others are one bar
const NOTE = 'Direct contributions only: what a head wrote into the residual and a later layer '
  + 'read there is counted with the later layer.';
const NO_HEAD = { layer: null, head: null };
const GROUPS = [['part', 'all parts'], ['word', 'by word'], ['head', 'by head'],
  ['layer', 'by layer'], ['kind', 'by kind']];

/**
 * How many contributions there are: each head's for each word that it can see, and the others.
 * @param {any} card @param {any} meta
 */
function countOf({ windows, n_heads: heads }, { fixed, position }) {
  let seen = 0;
  for (const size of windows) seen += Math.min(size ?? Infinity, position + 1);
  return fixed.length + heads * seen;
}

/**
 * The largest parts, and how many others there are.
 * @param {Part[]} parts @param {number} [count] of all, where `parts` are not all
 */
function ranked(parts, count = parts.length) {
  const order = parts.map((part, i) => ({ part, i }))
    .sort((a, b) => Math.abs(b.part.amount) - Math.abs(a.part.amount) || a.i - b.i);
  return { top: order.slice(0, MOST).map(({ part }) => part), others: Math.max(0, count - MOST) };
}

/**
 * Words by what they contributed through all heads, and through token shift where there is one.
 * @param {any} meta @param {any} read @param {any} card @returns {Part[]}
 */
function byWord({ by_word: amounts, position }, read, { token_shift: shifts }) {
  const how = shifts ? 'through heads and token shift' : 'through heads';
  const parts = Array.from({ length: position + 1 }, (_, j) => ({
    name: `by_word.${j}`,
    label: html`${quoted(read.positions[j].token)} (position ${j}), ${how}`,
    amount: amounts[j],
    ...NO_HEAD,
  }));
  const label = `all that no head ${shifts ? 'or token shift ' : ''}carried`;
  const rest = { name: 'by_word.rest', label, ...NO_HEAD };
  return [...parts, { ...rest, amount: amounts[amounts.length - 1] }];
}

/** @param {any} meta @param {any} card @returns {Part[]} */
function byHead({ by_head: amounts }, { n_heads: heads }) {
  return amounts.map((/** @type {number} */ amount, /** @type {number} */ i) => {
    if (i === amounts.length - 1) {
      return { name: 'by_head.rest', label: 'all that is not a head', amount, ...NO_HEAD };
    }
    const [layer, head] = [Math.floor(i / heads), i % heads];
    const label = `head ${head} of layer ${layer}`;
    return { name: `by_head.${layer}.${head}`, label, amount, layer, head };
  });
}

/**
 * The bars of a grouping. Layers and kinds stand in the model's order, all of them.
 * @param {string} by @param {any} meta @param {any} state
 * @returns {{top: Part[], others: number}}
 */
function grouped(by, meta, { read, card }) {
  if (by === 'word') return ranked(byWord(meta, read, card));
  if (by === 'head') return ranked(byHead(meta, card));
  if (by === 'layer') return { top: meta.by_layer, others: 0 };
  if (by === 'kind') return { top: meta.by_kind, others: 0 };
  return ranked(meta.top, countOf(card, meta));
}

export class NwAccount extends Watching {
  static keys = ['ids', 'position', 'token', 'against', 'card'];

  constructor() {
    super();
    this.by = 'part';
  }

  /** @param {any} shown */
  async load({ ids, position, token, against, card, read }) {
    if (!ids || !card || position === null) return null;
    const [account, next] = await Promise.all([
      api.account(ids, position, token, against, this.slotted('account')),
      api.next(ids, position, token, this.slotted('next')),
    ]);
    return { meta: account.meta, words: next.words, read, token, against };
  }

  render() {
    if (!this.view) return this.trouble();
    const { meta, read } = this.view;
    const { top, others } = grouped(this.by, meta, { read, card: store.state.card });
    const left = meta.total - top.reduce((sum, { amount }) => sum + amount, 0);
    const sizes = [...top.map(({ amount }) => amount), others ? left : 0].map(Math.abs);
    const full = Math.max(1e-12, ...sizes);
    const rival = meta.against === null ? '' : html` and not ${quoted(meta.against)}`;
    return html`<section class="account part" aria-label="The account">
      <h3>The account: why ${quoted(meta.token)}${rival}</h3>
      ${this.trouble()}
      ${this.choices()}
      ${this.groups()}
      <nw-bars .rows=${this.rows(meta, top, { others, left })} .signed=${true} .max=${full}
        .label=${'Contributions to the logit'}></nw-bars>
      <p class="hint">A full bar is ${printed(full)}: right pushes up, left pushes down. ${NOTE}</p>
    </section>`;
  }

  /** @param {any} meta @param {Part[]} top @param {{others: number, left: number}} rest */
  rows(meta, top, { others, left }) {
    const rows = top.map((part) => ({
      id: part.name, label: this.label(part), value: part.amount, name: `account.${part.name}`,
    }));
    const what = meta.against === null ? 'logit' : 'difference of the logits';
    const rest = { id: 'others', label: `the other ${counted(others)}`, value: left, muted: true };
    const total = { id: 'total', label: `sum = ${what}`, value: meta.total, name: 'account.total' };
    return [...rows, ...(others ? [rest] : []), total];
  }

  /** A head's part is a way to that head. @param {Part} part */
  label({ label: named, layer, head }) {
    const label = typeof named === 'string' ? marked(named) : named;
    if (layer === null || head === null) return label;
    return html`<button type="button" class="link" title="Look at this head"
      @click=${() => store.select({ layer, head, level: 'head' })}>${label}</button>`;
  }

  choices() {
    if (store.state.recorded) return nothing;
    const { words, token, against } = this.view;
    const [first] = words;
    const option = (/** @type {any} */ { token_id: id, token: name, rank }) =>
      ({ value: String(id), name: `${rank === 2 ? 'the runner-up, ' : ''}${quotedText(name)}` });
    const best = { value: '', name: `the most likely, ${quotedText(first.token)}` };
    const tokens = [best, ...words.slice(1).map(option)];
    const rivals = words.filter((/** @type {any} */ { rank }) => rank > 1).map(option);
    const againsts = [{ value: '', name: 'nothing: the logit itself' }, ...rivals, option(first)];
    return html`<div class="choices">
      ${this.choice('account-token', 'Explain', tokens, token === first.token_id ? null : token,
        (/** @type {number|null} */ id) => store.choose(id, against))}
      ${this.choice('account-against', 'against', againsts, against,
        (/** @type {number|null} */ id) => store.choose(token, id))}
    </div>`;
  }

  /**
   * @param {string} id @param {string} label @param {{value: string, name: string}[]} options
   * @param {number|null} chosen @param {(id: number|null) => void} choose
   */
  choice(id, label, options, chosen, choose) {
    const now = chosen === null ? '' : String(chosen);
    return html`<label for=${id}>${label}</label>
      <select id=${id} @change=${(/** @type {any} */ { target }) =>
        choose(target.value === '' ? null : Number(target.value))}>
        ${options.map(({ value, name }) => html`<option value=${value}
          .selected=${value === now}>${name}</option>`)}</select>`;
  }

  groups() {
    return html`<fieldset class="switch"><legend>Divide it</legend>
      ${GROUPS.map(([value, name]) => html`<label><input type="radio" name="account-by"
        value=${value} .checked=${this.by === value} @change=${() => {
          this.by = value;
          this.requestUpdate();
        }}><span>${name}</span></label>`)}
    </fieldset>`;
  }
}
customElements.define('nw-account', NwAccount);
