// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import '../elements/nw-token-strip.js';
import { formula, fraction, op, row, sub, sum, text, vector } from '../formula.js';
import { plural } from '../numbers.js';
import { store } from '../store.js';
import { quoted } from '../tokens.js';
import { Watching } from '../watching.js';

/** Panel 1: at every word, what the model predicts, and whether it came. */
export class NwSentence extends Watching {
  static keys = ['read', 'position', 'hover'];

  render() {
    const { read, position } = store.shown;
    const here = read?.positions[position ?? 0];
    if (!here) return nothing;
    return html`<nw-panel .number=${1} .heading=${'The sentence'} .name=${'sentence-panel'}
      .sentence=${this.#sentence(here)}>
      <div part="numbers">
        <nw-token-strip></nw-token-strip>
        <p class="totals">${this.#totals(read)}</p>
        <p class="legend muted"><span><span class="sign right" aria-hidden="true">✓</span> right:
          the most likely word came</span> <span><span class="sign wrong" aria-hidden="true">✗</span>
          wrong: how likely the word that came was thought, and its rank</span>
          <span>Positions, layers and heads are counted from 0: position 0 is the first
          word.</span></p>
      </div>
      <div part="formula">${formula('loss', op('='), fraction('1', 'n'), sum('i',
        row(op('−'), text('log '), vector('p', row(sub('word', row('i', op('+'), '1')))))))}
        <p>The mean, over the n words that have a next one, of −log of the probability that the
          model gave to the word that came. A nat is the unit of the natural logarithm.</p></div>
    </nw-panel>`;
  }

  /** @param {any} here */
  #sentence(here) {
    const first = 'At every word the model predicts the next one; ';
    if (here.actual === null) {
      return html`${first}${quoted(here.predicted.token)} comes next, it says.`;
    }
    return html`${first}after ${quoted(here.token)}, it says, comes
      ${quoted(here.predicted.token)}; what came is ${quoted(here.actual.token)}.`;
  }

  /** @param {any} read */
  #totals(read) {
    if (!read.n_judged) return 'One word alone has no answer yet: nothing is judged.';
    return html`<span><strong>${read.n_right} of ${read.n_judged}</strong> right</span>
      <span><strong>${read.n_in_top5}</strong> in the top 5</span>
      <span>loss <strong><nw-number .value=${read.loss} .name=${'read.loss'}></nw-number></strong>
        nats per token</span> <span class="muted">${plural(read.ids.length, 'token')}</span>`;
  }
}

customElements.define('nw-sentence', NwSentence);
