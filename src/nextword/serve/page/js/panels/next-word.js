// @ts-check
/** From logits to the next word: exp, their sum, and each word's share of it. */

import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { counted } from '../numbers.js';
import { store } from '../store.js';
import { quoted, word } from '../tokens.js';
import { Watching } from '../watching.js';
import '../elements/nw-number.js';

export class NwNextWord extends Watching {
  static keys = ['ids', 'position', 'token', 'card'];

  /** @param {any} shown */
  async load({ ids, position, token, read }) {
    if (!ids || position === null) return null;
    const next = await api.next(ids, position, token, this.slotted('next'));
    return { next, position, word: read.positions[position].token };
  }

  render() {
    if (!this.view) return this.trouble();
    const { next, position } = this.view;
    return html`<section class="next-word part" aria-label="The next word">
      <h3>The next word after ${quoted(this.view.word)}</h3>
      ${this.trouble()}
      <p>The largest logit is taken off every logit, exp makes them positive, and each is divided by
        their sum, <nw-number .value=${next.sum_exp}
          .name=${`next.sum_exp[${position}]`}></nw-number>.</p>
      <div class="scroller" tabindex="0" role="region" aria-label="Logits and probabilities">
        <table class="logits"><thead><tr><th scope="col">word</th><th scope="col">logit</th>
          <th scope="col">exp(logit − largest)</th><th scope="col">probability</th></tr></thead>
        <tbody>${next.words.map((/** @type {any} */ entry) => this.row(entry, position))}
          ${next.others ? this.others(next, position) : nothing}</tbody></table></div>
    </section>`;
  }

  /** @param {any} entry @param {number} position */
  row({ token_id: id, token, logit, exp, probability, rank, actual }, position) {
    const index = `[${position},${id}]`;
    const name = store.state.recorded ? html`<span class="word">${word(token)}</span>`
      : html`<button type="button" class="link word" title="Explain this word in the account"
        @click=${() => store.choose(id, store.state.against === id ? null : store.state.against)}>
        ${word(token)}</button>`;
    return html`<tr class=${actual ? 'actual' : ''}><th scope="row">
        <span class="rank muted">${rank}</span>${name}
        ${actual ? html`<span class="badge">came</span>` : nothing}</th>
      <td><nw-number .value=${logit} .name=${`logits${index}`} .clickable=${true}></nw-number></td>
      <td><nw-number .value=${exp} .name=${`next.exp${index}`}></nw-number></td>
      <td class="share" .style=${`--share:${probability}`}><nw-number .value=${probability}
        .name=${`probabilities${index}`} .clickable=${true}></nw-number></td></tr>`;
  }

  /** @param {any} next @param {number} position */
  others({ others, others_exp: exp, others_probability: probability }, position) {
    return html`<tr class="others"><th scope="row">all ${counted(others)} others</th><td></td>
      <td><nw-number .value=${exp} .name=${`next.others_exp[${position}]`}></nw-number></td>
      <td class="share" .style=${`--share:${probability}`}><nw-number .value=${probability}
        .name=${`next.others_probability[${position}]`}></nw-number></td></tr>`;
  }
}
customElements.define('nw-next-word', NwNextWord);
