// @ts-check
/** The branches of a reply as a tree: one line for each stretch of words without a fork. */

import { html, LitElement, nothing } from '../../vendor/lit/index.js';
import { plural } from '../numbers.js';
import { legible, marked, textOf } from '../tokens.js';

/** @typedef {import('./tree.js').Tree} Tree @typedef {import('./tree.js').Segment} Segment */

const LONGEST = 90; // characters of a line; the rest is in the steps

/** What there is to say of the end of a stretch. @param {Segment} segment */
function ending({ nodes }) {
  const { reason, children } = nodes[nodes.length - 1];
  if (children.length) return `then ${children.length} ways`;
  if (reason === 'stop' || reason === 'chosen_end') return 'ended';
  return reason === 'length' ? 'context full' : 'open';
}

/** `.tree`, and `.turn`, which counts its changes; `nw-show {id}` for the branch to show. */
export class NwBranches extends LitElement {
  static properties = {
    tree: { attribute: false },
    turn: { attribute: false },
    cursor: { state: true },
  };

  constructor() {
    super();
    /** @type {Tree|null} */
    this.tree = null;
    this.turn = 0;
    /** @type {number|null} first node of the line that the keyboard is at */
    this.cursor = null;
  }

  createRenderRoot() {
    return this;
  }

  /** @param {number} id */
  show(id) {
    this.cursor = null;
    this.dispatchEvent(new CustomEvent('nw-show', { bubbles: true, detail: { id } }));
  }

  /** @param {KeyboardEvent} event @param {any[]} lines @param {number} at */
  move(event, lines, at) {
    const { level, segment } = lines[at];
    const before = lines.slice(0, at).map((line) => line.level);
    const to = {
      ArrowUp: at - 1,
      ArrowDown: at + 1,
      Home: 0,
      End: lines.length - 1,
      ArrowLeft: before.lastIndexOf(level - 1),
      ArrowRight: lines[at + 1]?.level > level ? at + 1 : at,
    }[event.key];
    if (event.key === 'Enter' || event.key === ' ') this.show(segment.first);
    else if (to === undefined) return;
    else if (lines[to]) {
      this.cursor = lines[to].segment.first;
      this.updateComplete.then(() =>
        /** @type {HTMLElement|null} */ (this.querySelector('[tabindex="0"]'))?.focus());
    }
    event.preventDefault();
    event.stopPropagation();
  }

  render() {
    if (!this.tree) return nothing;
    const lines = this.tree.segments();
    const path = new Set(this.tree.path().map((node) => node.id));
    const shown = lines.findLastIndex(({ segment }) => path.has(segment.first));
    const found = lines.findIndex(({ segment }) => segment.first === this.cursor);
    const cursor = found < 0 ? shown : found;
    return html`<div id="branches" role="tree" aria-label="Branches of the reply">
      ${lines.map((line, at) => this.line(lines, at, path, at === shown, at === cursor))}
    </div>`;
  }

  /**
   * @param {any[]} lines @param {number} at @param {Set<number>} path
   * @param {boolean} selected @param {boolean} cursor
   */
  line(lines, at, path, selected, cursor) {
    const { segment, level, place, among } = lines[at];
    const tokens = segment.nodes.map((/** @type {any} */ { choice }) => choice.token);
    const text = legible(textOf(tokens));
    const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
    return html`<div role="treeitem"
      aria-level=${level} aria-setsize=${among} aria-posinset=${place}
      aria-selected=${selected ? 'true' : 'false'} tabindex=${cursor ? 0 : -1}
      data-node=${segment.first} class=${path.has(segment.first) ? 'line on-path' : 'line'}
      .style=${`--level:${level - 1}`}
      @click=${() => this.show(segment.first)}
      @keydown=${(/** @type {KeyboardEvent} */ event) => this.move(event, lines, at)}>
      <span class="words" title=${short === text ? nothing : text}>${marked(short)}</span>
      ${segment.nodes[0].picked ? html`<span class="mark">your choice</span>` : nothing}
      <span class="muted">${plural(segment.nodes.length, 'word')}, ${ending(segment)}</span>
    </div>`;
  }
}
customElements.define('nw-branches', NwBranches);
