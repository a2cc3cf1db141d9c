// @ts-check
import { html } from '../../vendor/lit/index.js';
import { counted, plural } from '../numbers.js';
import { store } from '../store.js';
import { Watching } from '../watching.js';

/** @param {any} card what the model's blocks look at, as far as it differs from all words */
function windows({ windows: found }) {
  const sizes = [...new Set(found.filter((/** @type {number|null} */ size) => size !== null))];
  if (!sizes.length) return 'all earlier words';
  return found.includes(null) ? `the last ${sizes.join(', ')} words in some layers`
    : `the last ${sizes.join(', ')} words`;
}

/** @param {any} card */
function norm({ norm: kind, norm_placement: place }) {
  const names = /** @type {Record<string, string>} */ ({ layer: 'layer norm', rms: 'RMS norm' });
  return kind === 'none' ? 'none' : `${names[kind] ?? kind}, ${place} each part`;
}

/** @param {any} card */
function feedForward({ feed_forward: kind, d_ff: width, gated }) {
  return kind === 'none' ? 'none' : `${kind}, ${counted(width)} wide${gated ? ', gated' : ''}`;
}

/** @param {any} card */
function scores({ scaled_scores: scaled, score_scale: scale, attention_soft_cap: cap }) {
  const scaling = scaled ? `scaled by ${Number(scale.toFixed(4))}` : 'not scaled';
  return cap === null ? scaling : `${scaling}, soft cap ${cap}`;
}

/** @param {any} card */
function biases({ biases: found }) {
  const names = Object.keys(found).filter((name) => found[name]);
  return names.length ? names.map((name) => name.replace('_', '-')).join(', ') : 'none';
}

/** Name and meaning of every setting that is worth a line. @param {any} card */
function settings(card) {
  const shared = card.n_kv_heads < card.n_heads;
  return [
    ['Learned from', card.kind === 'dialogue' ? 'dialogues' : 'running text'],
    ['Tokenizer', card.tokenizer],
    ['Position', card.position],
    ...(card.token_shift ? [['Token shift', `from ${card.token_shift} earlier words`]] : []),
    ['Head width', card.d_head],
    ['Key/value heads', `${card.n_kv_heads}${shared ? `, shared by ${card.n_heads} heads` : ''}`],
    ['Scores', scores(card)],
    ['Looks at', windows(card)],
    ['Query and key norm', card.query_key_norm ? 'yes' : 'no'],
    ['Output projection', card.output_projection ? 'yes' : 'no'],
    ['Feed-forward', feedForward(card)],
    ['Norm', norm(card)],
    ['Biases', biases(card)],
    ['Embedding and last layer', card.tied_embeddings ? 'share weights' : 'have their own weights'],
    ['Soft cap of the logits', card.logit_soft_cap ?? 'none'],
    ['Weights', card.version],
    ['Nextword', card.nextword],
  ];
}

/** The model in one line; its settings are folded below. */
export class NwModelCard extends Watching {
  static keys = ['card'];

  render() {
    const { card } = store.state;
    if (!card) return html`<div id="model-card"></div>`;
    const facts = [
      card.family,
      `${plural(card.n_layers, 'layer')} × ${plural(card.n_heads, 'head')}`,
      `width ${counted(card.d_model)}`,
      plural(card.vocab_size, 'word'),
      `context ${counted(card.context_length)}`,
      plural(card.n_parameters, 'number'),
      `weights ${card.version.slice(0, 8)}`,
    ].filter(Boolean);
    return html`<section id="model-card" aria-label="The model"><details>
      <summary><strong>${card.name}</strong>
        ${facts.map((fact) => html`<span class="fact">${fact}</span>`)}</summary>
      <dl>${settings(card).map(([name, value]) => html`
        <div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    </details></section>`;
  }
}
customElements.define('nw-model-card', NwModelCard);
