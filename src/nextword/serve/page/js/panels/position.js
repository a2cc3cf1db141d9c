// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import './arcs.js';
import { api } from '../api.js';
import { formula, op, vector } from '../formula.js';
import { canonical, largest, plural } from '../numbers.js';
import { store } from '../store.js';
import '../teach/right.js';
import { vector as slice } from '../tensors.js';
import { marked, quoted, word } from '../tokens.js';
import { Watching } from '../watching.js';

const MOST = 8; // words that have a bar of their own
const ARCS = 40; // a longer sentence has no arcs

/** Panel 2: one word's vector, and the words that it looks at. */
export class NwPosition extends Watching {
  static keys = ['read', 'position', 'layer', 'head', 'hover'];
  static properties = { mean: { state: true } };

  constructor() {
    super();
    this.mean = false;
  }

  /** @param {import('../store.js').State} shown */
  async load({ ids, position, layer, head, read, card }) {
    if (!ids || position === null) return null;
    const [ends, row, narration] = await Promise.all([
      api.ends(ids, position, this.slotted('ends')),
      layer === null ? null : api.row(ids, position, layer, this.slotted('row')),
      api.narrate(ids, position, this.slotted('narrate')),
    ]);
    return { ids, position, layer, head, read, card, ends, row, narration };
  }

  render() {
    const view = this.view;
    const token = view ? view.read.positions[view.position].token : '';
    return html`<nw-panel .number=${2} .heading=${'One word and what it looks at'}
      .name=${'position-panel'} .sentence=${view
        ? this.#sentence(view, token) : ''}>
      <div part="numbers">${this.trouble()}${view ? this.#numbers(view) : nothing}</div>
      <div part="formula">${formula(vector('word_vector', 'i'), op('='),
        vector('embedding', 'token'),
        ...(view?.ends.get('token_shift') ? [op('+'), vector('shift', 'i')] : []),
        ...(view && !view.ends.get('position') ? [] : [op('+'), vector('position', 'i')]))}
        <p>Every word has a vector of its own, the embedding; what follows works on these.</p></div>
    </nw-panel>`;
  }

  /** @param {any} view @param {string} token */
  #sentence({ ends, position, card }, token) {
    const shifted = ends.get('token_shift') ? ' plus shares of the words just before it' : '';
    const says = html`The word vector of ${quoted(token)} is its embedding${shifted}`;
    if (ends.get('position')) return html`${says} plus the encoding of position ${position}.`;
    if (card.position !== 'rotary') return html`${says}.`;
    return html`${says}; its position comes in later, by turning query and key.`;
  }

  /** @param {any} view */
  #numbers(view) {
    return html`
      <nw-should-be .read=${view.read} .position=${view.position}></nw-should-be>
      <div class="part"><h3>The word vector</h3>${this.#sum(view)}</div>
      ${view.row && view.card.position === 'rotary' ? this.#turned(view) : nothing}
      <div class="pair">${view.row ? this.#looks(view) : nothing}${this.#story(view)}</div>`;
  }

  /** embedding + position = word vector @param {any} view */
  #sum({ ends, position, layer, row }) {
    const lines = /** @type {[string, string, string, any][]} */ ([
      ['', 'embedding', 'token_embedding', ends.get('token_embedding')],
      ['+', 'token shift', 'token_shift', ends.get('token_shift')],
      ['+', `position ${position}`, 'position', ends.get('position')],
      ['=', 'word vector', 'residual', ends.get('residual')],
    ]).filter(([, , , value]) => value);
    const limit = Math.max(...lines.map(([, , , t]) => Math.abs(t.data[largest(t.data, true)])));
    if (layer > 0) { // grown by the layers before: with a limit of its own
      const name = `blocks.${layer}.residual_pre`;
      lines.push(['', `as it enters layer ${layer}`, name, row.get(name)]);
    }
    return html`<div class="sums">${lines.map(([sign, label, name, tensor]) => html`
      <span class="operator" aria-hidden="true">${sign}</span><span class="name">${label}</span>
      <nw-vector .data=${tensor.data} .name=${`${name}[${position},*]`}
        .limit=${name.startsWith('blocks') ? 0 : limit} .label=${label}></nw-vector>`)}</div>`;
  }

  /** Query and key of this head before and after the rotation. @param {any} view */
  #turned({ row, layer, head, position, card }) {
    const shared = Math.floor(head / (card.n_heads / card.n_kv_heads));
    const kinds = /** @type {const} */ ([['query', head, 'Q'], ['key', shared, 'K']]);
    return html`<div class="part"><h3>Its place turns query and key</h3><div class="sums">
      ${kinds.map(([kind, at, letter]) => {
        const before = `blocks.${layer}.attention.${kind}`;
        const normed = row.get(`${before}_norm`) ? `${before}_norm` : before;
        return [['before', normed], ['after', `${before}_rotated`]].map(([when, name]) => html`
          <span class="letter ${kind}">${letter}</span><span class="name">${kind}, ${when}</span>
          <nw-vector .data=${slice(row.get(name), at)} .name=${canonicalRow(name, at, position)}
            .hue=${kind} .label=${`${kind}, ${when} turning`}></nw-vector>`);
      })}</div></div>`;
  }

  /** @param {any} view */
  #looks({ row, layer, head, position, read, card }) {
    const tensor = row.get(`blocks.${layer}.attention.attention_weights`);
    const weights = this.mean ? means(tensor) : slice(tensor, head);
    const name = (/** @type {number} */ j) => (this.mean ? `mean_weight[${layer},${position},${j}]`
      : canonical(`blocks.${layer}.attention.attention_weights`, [head, position, j]));
    const seen = read.positions.slice(0, position + 1);
    const later = read.positions.length - seen.length;
    const whose = this.mean ? `all heads of layer ${layer}, the mean (a summary)`
      : `head ${head} of layer ${layer}`;
    return html`<div class="part"><div class="title"><h3>What it looks at</h3>
      ${card.n_heads > 1 ? html`<label class="check"><input type="checkbox" .checked=${this.mean}
        @change=${() => { this.mean = !this.mean; }}> all heads, mean (a summary)</label>`
        : nothing}
      </div><p class="muted">Weights of ${whose}; together they make 1.</p>
      ${read.positions.length <= ARCS ? html`<nw-arcs .weights=${weights} .at=${position}
        .tokens=${read.positions.map((/** @type {any} */ p) => p.token)}></nw-arcs>` : nothing}
      <nw-bars .rows=${ranked(weights, seen, name)} .max=${1} .pickable=${true} .hue=${'weights'}
        .clickable=${!this.mean} .label=${`The words looked at, by ${whose}`}
        @nw-pick=${(/** @type {CustomEvent} */ event) => {
          if (event.detail.id !== 'rest') store.select({ position: event.detail.id });
        }}></nw-bars>
      ${later ? html`<p class="later">
        <span class="hatched swatch" data-masked aria-hidden="true"></span>
        ${plural(later, 'later word')}: masked, so ${later === 1 ? 'it' : 'they'} cannot be seen
        from here.</p>` : nothing}
    </div>`;
  }

  /** @param {any} view */
  #story({ narration }) {
    return html`<div class="part"><h3>In words</h3>
      <ul class="story">${narration.sentences.map((/** @type {any} */ s) => html`
        <li>${told(s)}</li>`)}
      </ul><p class="note">Weights show where a head looked, not why the answer came out; the
      account says why.</p></div>`;
  }
}

/** A sentence whose numbers carry their names. @param {any} sentence */
function told({ text, numbers }) {
  const parts = [];
  let from = 0;
  for (const { name, value, shown } of numbers) {
    const at = text.indexOf(shown, from);
    if (at < 0) continue;
    parts.push(marked(text.slice(from, at)), html`<span class="told" data-name=${name}
      data-value=${String(Math.fround(value))}>${shown}</span>`);
    from = at + shown.length;
  }
  return [...parts, marked(text.slice(from))];
}

/** @param {string} point @param {number} head @param {number} position */
function canonicalRow(point, head, position) {
  return `${point}[${head},${position},*]`;
}

/** The mean over heads. @param {import('../tensors.js').Tensor} tensor [heads, words] */
function means({ shape: [heads, words], data }) {
  const sums = new Float64Array(words);
  for (let i = 0; i < data.length; i += 1) sums[i % words] += data[i];
  return Float32Array.from(sums, (total) => total / heads);
}

/**
 * The words with the largest weights, then all others as one bar.
 * @param {ArrayLike<number>} weights @param {any[]} seen @param {(j: number) => string} name
 */
function ranked(weights, seen, name) {
  const order = seen.map((_, j) => j).sort((a, b) => weights[b] - weights[a] || a - b);
  const rows = order.slice(0, MOST).map((j) => ({
    id: j, value: weights[j], name: name(j),
    label: html`<span class="word">${word(seen[j].token)}</span> <span class="muted">${j}</span>`,
  }));
  if (order.length <= MOST) return rows;
  const rest = order.slice(MOST).reduce((sum, j) => sum + weights[j], 0);
  const label = html`<span class="muted">the other ${order.length - MOST}</span>`;
  return [...rows, { id: 'rest', value: rest, label, muted: true }];
}

customElements.define('nw-position', NwPosition);
