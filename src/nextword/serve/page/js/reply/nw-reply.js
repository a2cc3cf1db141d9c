// @ts-check
/** The Reply tab: the reply, a word at a time or to its end, with every word that could have come. */

import { html, nothing } from '../../vendor/lit/index.js';
import { formula, op, text } from '../formula.js';
import { percent, plural } from '../numbers.js';
import { store } from '../store.js';
import { quoted, word } from '../tokens.js';
import { Watching } from '../watching.js';
import '../elements/nw-number.js';
import '../elements/nw-panel.js';
import './branches.js';
import { configAt, PLAIN } from './sampling.js';
import { REASONS, run } from './stream.js';
import { Tree } from './tree.js';
import '../teach/right.js';

/** @typedef {import('./tree.js').Node} Node @typedef {import('./tree.js').Choice} Choice */

const SENTENCE = 'The model predicts the next word, adds it to the end of the sentence, and '
  + 'repeats until the end-of-sentence token.';
const FORMULA = formula(
  text('next word'), op('='), text('the choice from softmax(logits(last word))'),
);
const WAITING = 'The model is working out its reply …';
const PROMPT_WORDS = 24; // of the prompt, before the reply
const STEPS_SHOWN = 120; // a long reply is shown around the step that is looked at

/** @param {(event: any) => void} act @param {boolean} off @returns {(event: Event) => void} */
const unless = (act, off) => (event) => (off ? event.preventDefault() : act(event));

/** What is still there when one comes back from another tab. */
const kept = {
  tree: /** @type {Tree|null} */ (null), prompt: /** @type {string[]} */ ([]), config: PLAIN,
  version: '', // of the weights that made the tree
};

export class NwReply extends Watching {
  static keys = ['ids', 'read', 'card', 'slow'];

  constructor() {
    super();
    this.turn = 0; // counts changes of the tree
    /** @type {number|null} the step that is looked at; null follows the newest */
    this.focused = null;
    /** @type {AbortController|null} */
    this.running = null;
    /** @type {number|null} what the last run was told, for a branch to go on the same way */
    this.steps = 1;
    /** @type {number|null} the node at which the user stopped it */
    this.stopped = null;
    this.frame = 0;
  }

  get tree() { return kept.tree; }

  wake() {
    super.wake();
    this.adopt();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.running?.abort();
  }

  /** Begin a tree for what was read, unless it is a place in the tree that is there already. */
  adopt() {
    const { ids, read } = store.state;
    if (!ids || !read) { // nothing was read, or what was asked last could not be
      this.running?.abort();
      kept.tree = null;
      return;
    }
    const known = kept.version === read.version ? this.tree?.find(ids) : null;
    if (known) {
      if (known.parent !== null) this.focused = known.id;
      return;
    }
    this.running?.abort();
    kept.tree = new Tree(ids);
    kept.version = read.version;
    kept.prompt = read.positions.map((/** @type {any} */ position) => position.token);
    this.focused = null;
    this.stopped = null;
    this.problem = null;
  }

  /** Draw anew at the next frame, however many words have come. */
  soon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.turn += 1;
      this.requestUpdate();
    });
  }

  /** @param {number|null} steps null: to the end token */
  async go(steps) {
    const { tree } = this;
    if (!tree || this.running) return;
    const stop = new AbortController();
    Object.assign(this, { running: stop, steps, focused: null, stopped: null, problem: null });
    this.requestUpdate();
    const config = configAt(kept.config, tree.node(tree.active).depth);
    try {
      const { version } = kept;
      await run(tree, { steps, config, version, signal: stop.signal, onStep: () => this.soon() });
    } catch (error) {
      if (!stop.signal.aborted) this.problem = error;
      else if (tree === this.tree) this.stopped = tree.active;
    }
    this.running = null;
    this.turn += 1;
    this.requestUpdate();
  }

  /** @param {Node} node the step whose word is replaced @param {Choice} choice */
  branch(node, choice) {
    if (!this.tree || this.running || node.parent === null) return;
    const fresh = this.tree.branch(node.parent, choice);
    this.turn += 1;
    this.focused = this.tree.child(node.parent, choice.token_id)?.id ?? null;
    const ends = store.state.card.end_ids.includes(choice.token_id);
    if (fresh && ends) this.tree.node(this.tree.active).reason = 'chosen_end';
    if (fresh && !ends) store.track(this.go(this.steps));
    else this.requestUpdate();
  }

  /** @param {number} id */
  show(id) {
    this.tree?.show(id);
    this.focused = null;
    this.turn += 1;
    this.requestUpdate();
  }

  updated() {
    const steps = this.querySelector('#reply-steps');
    if (steps && this.focused === null) steps.scrollTop = steps.scrollHeight;
  }

  get reason() {
    if (!this.tree || this.running) return null;
    const { reason, id } = this.tree.node(this.tree.active);
    return reason ?? (this.stopped === id ? 'user' : null);
  }

  render() {
    if (!this.tree) {
      return html`<p class="quiet">Read a text first; the reply goes on from its end.</p>`;
    }
    const path = this.tree.path();
    return html`<nw-panel .number=${1} .heading=${'Reply'} .sentence=${SENTENCE}
      .name=${'replying'}>
      <div part="numbers" class="reply">
        ${this.controls()}
        <nw-sampling .config=${kept.config} @nw-config=${(/** @type {CustomEvent} */ event) => {
          kept.config = event.detail.config;
          this.requestUpdate();
        }}></nw-sampling>
        <p id="reply-reason" role="status">${REASONS[this.reason ?? '']
          ?? (this.running && store.state.slow ? WAITING : '')}</p>
        ${this.problem
          ? html`<p class="trouble" role="alert">${this.problem.message}</p>` : nothing}
        ${this.sentence(path)}
        ${path.length ? this.detail(path) : nothing}
        ${path.length ? this.branches() : nothing}
      </div>
      <div part="formula">${FORMULA}</div>
    </nw-panel>`;
  }

  controls() {
    const over = this.reason !== null && this.reason !== 'user';
    const off = Boolean(this.running) || over;
    const press = (/** @type {number|null} */ steps) =>
      unless(() => store.track(this.go(steps)), off);
    return html`<div class="controls">
      <button type="button" id="reply-next" class="primary" aria-disabled=${off}
        @click=${press(1)}>Next word</button>
      <button type="button" id="reply-run" aria-disabled=${off}
        @click=${press(null)}>Run to the end token</button>
      <button type="button" id="reply-stop" aria-disabled=${!this.running}
        @click=${unless(() => this.running?.abort(), !this.running)}>Stop</button>
    </div>`;
  }

  /** The end of the prompt, then one button for each word of the reply. @param {Node[]} path */
  sentence(path) {
    const hidden = kept.prompt.length - PROMPT_WORDS;
    const at = this.focused === null ? path.length - 1
      : path.findIndex((node) => node.id === this.focused);
    const from = Math.max(0, Math.min(path.length - STEPS_SHOWN, at - STEPS_SHOWN / 2));
    const part = path.slice(from, from + STEPS_SHOWN);
    const after = path.length - from - part.length;
    return html`<div class="so-far">
      <p class="prompt"><span class="label">The sentence so far</span>
        ${hidden > 0
          ? html`<span class="muted">… ${plural(hidden, 'word')} before</span>` : nothing}
        ${kept.prompt.slice(-PROMPT_WORDS).map((token) => html`<span
          class="word">${word(token)}</span> `)}</p>
      <ol id="reply-steps" aria-label="Words of the reply" start=${from + 1}>
        ${from ? html`<li class="muted">${plural(from, 'word')} before</li>` : nothing}
        ${part.map((node) => this.chip(node, node.id === path[at]?.id))}
        ${after ? html`<li class="muted">${plural(after, 'word')} after</li>` : nothing}
      </ol>
    </div>`;
  }

  /** @param {Node} node @param {boolean} focused */
  chip(node, focused) {
    const choice = /** @type {Choice} */ (node.choice);
    const end = store.state.card?.end_ids.includes(choice.token_id);
    const n = node.depth - 1;
    return html`<li data-step=${n}><button type="button" class="step ${end ? 'end' : ''}"
      aria-pressed=${focused} @click=${() => {
        this.focused = node.id;
        this.requestUpdate();
      }}><span class="word">${word(choice.token)}</span>
      <small>${node.picked ? 'your choice ' : nothing}<nw-number .value=${choice.probability}
        .unit=${'percent'} .name=${`reply.probability[${n}]`}></nw-number></small></button></li>`;
  }

  /** What could have stood at the step that is looked at. @param {Node[]} path */
  detail(path) {
    const node = path.find(({ id }) => id === this.focused) ?? path[path.length - 1];
    const choice = /** @type {Choice} */ (node.choice);
    const tree = /** @type {Tree} */ (this.tree);
    const { candidates } = tree.node(/** @type {number} */ (node.parent));
    const n = node.depth - 1;
    return html`<section class="step-detail part" aria-label=${`Step ${n + 1}`}>
      <h3>Step ${n + 1}: ${quoted(choice.token)}</h3>
      <p>Probability <nw-number .value=${choice.probability}
          .name=${`reply.probability[${n}]`}></nw-number>,
        after sampling <nw-number .value=${choice.kept_probability}
          .name=${`reply.kept_probability[${n}]`}></nw-number>.
        ${node.picked ? 'You chose this word. ' : ''}Choose another to rewind and go on from
        there.</p>
      <div class="candidates-head muted" aria-hidden="true">
        <span>could come</span><span>the model’s own</span><span>after sampling</span></div>
      <ul class="candidates">${candidates.map((candidate) => this.candidate(node, candidate))}</ul>
      <button type="button" class="open-read"
        @click=${() => store.readIds(tree.ids(node.id))}>Open in Read</button>
      <nw-reply-should-be .ids=${tree.ids(/** @type {number} */ (node.parent))}
        .words=${[...kept.prompt, ...path.slice(0, n).map(({ choice: c }) => c?.token ?? '')]}
        .was=${choice.token}></nw-reply-should-be>
    </section>`;
  }

  /** @param {Node} node @param {Choice} candidate */
  candidate(node, candidate) {
    const chosen = candidate.token_id === node.choice?.token_id;
    const excluded = candidate.kept_probability === 0;
    const bar = (/** @type {number} */ share, /** @type {string} */ kind) => html`<span
      class="odds ${kind}" .style=${`--share:${share}`}><i></i><b>${percent(share)}</b></span>`;
    return html`<li><button type="button" data-candidate=${candidate.token_id}
      class=${excluded ? 'excluded' : ''}
      aria-current=${chosen ? 'true' : nothing} aria-disabled=${Boolean(this.running) || chosen}
      @click=${unless(() => this.branch(node, candidate), chosen)}>
      <span class="word">${word(candidate.token)}${chosen ? html` <em>chosen</em>` : nothing}</span>
      ${bar(candidate.probability, 'raw')}
      ${excluded ? html`<span class="odds out">excluded</span>`
        : bar(candidate.kept_probability, 'kept')}
    </button></li>`;
  }

  branches() {
    const show = (/** @type {CustomEvent} */ event) => {
      if (!this.running) this.show(event.detail.id);
    };
    return html`<section class="branch-tree part"><h3>Branches</h3>
      <nw-branches .tree=${this.tree} .turn=${this.turn} @nw-show=${show}></nw-branches></section>`;
  }
}
customElements.define('nw-reply', NwReply);
