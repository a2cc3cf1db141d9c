// @ts-check
import { LitElement, html, nothing, svg } from '../../vendor/lit/index.js';
import { percent, shown } from '../numbers.js';
import '../elements/nw-number.js';
import '../elements/nw-table.js';

/** @typedef {{step: number, loss: number, least: number, rehearsal_kl: number}} Point */

const HEIGHT = 248;
const EDGE = { left: 36, right: 48, top: 34, bottom: 26 };
const WIDE = 560; // pixels; a narrower drawing does not name the margin, the line below does
const DOTS = 30; // steps that have a dot each; of more only the last
const ROUND = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
const APART = 18; // pixels between two labels

/**
 * A lesson step by step: the loss, from 0, and the probability of the least likely of the words
 * that are taught, with the margin that it must reach.
 */
export class NwTeachChart extends LitElement {
  static properties = {
    steps: { attribute: false }, margin: { attribute: false }, over: { attribute: false },
    width: { state: true }, unfolded: { state: true },
  };

  #observer = new ResizeObserver(([entry]) => {
    this.width = Math.max(240, Math.round(entry.contentRect.width));
  });

  constructor() {
    super();
    /** @type {Point[]} */
    this.steps = [];
    this.margin = 0.5;
    this.over = false;
    this.width = 640;
    this.unfolded = false;
  }

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#observer.disconnect();
  }

  render() {
    const now = this.steps[this.steps.length - 1];
    if (!now) return nothing;
    return html`${this.#drawing()}
      <p id="teach-numbers"><span>step <nw-number .value=${now.step} .unit=${'count'}
          .name=${'teach.step'}></nw-number></span>
        <span>loss <nw-number .value=${now.loss} .name=${'teach.loss'}></nw-number> nats</span>
        <span>least probability <nw-number .value=${now.least} .name=${'teach.least'}
          .unit=${'percent'}></nw-number> <span class="whole">(to reach: ${
            percent(this.margin)})</span></span>
        <span>moved (KL) <nw-number .value=${now.rehearsal_kl} .name=${'teach.kl'}></nw-number>
          nats</span></p>
      <details class="fold" id="teach-table" @toggle=${(/** @type {Event} */ { target }) => {
        this.unfolded = /** @type {HTMLDetailsElement} */ (target).open;
      }}><summary>The steps as a table</summary>
        ${this.unfolded || this.over ? this.#table() : nothing}</details>`;
  }

  #table() {
    const columns = ['loss', 'least probability', 'KL'];
    const cell = (/** @type {number} */ r, /** @type {number} */ c) => {
      const { loss, least, rehearsal_kl: kl } = this.steps[r];
      return html`<nw-number .value=${[loss, least, kl][c]}
        .unit=${c === 1 ? 'percent' : ''}></nw-number>`;
    };
    return html`<nw-table .rows=${this.steps.map(({ step }) => `step ${step}`)}
      .columns=${columns} .cell=${cell} .caption=${'Step by step'}></nw-table>`;
  }

  #drawing() {
    const { width, steps } = this;
    const [first, last] = [steps[0].step, steps[steps.length - 1].step];
    const most = nice(Math.max(...steps.map(({ loss }) => loss)));
    const inner = width - EDGE.left - EDGE.right;
    const tall = HEIGHT - EDGE.top - EDGE.bottom;
    const x = (/** @type {number} */ step) =>
      EDGE.left + (inner * (step - first)) / Math.max(1, last - first);
    const y = (/** @type {number} */ share) =>
      EDGE.top + tall * (1 - Math.min(1, Math.max(0, share)));
    const line = (/** @type {(p: Point) => number} */ share) =>
      steps.map((p) => `${x(p.step).toFixed(1)},${y(share(p)).toFixed(1)}`).join(' ');
    const loss = (/** @type {Point} */ p) => p.loss / most;
    const least = (/** @type {Point} */ p) => p.least;
    const end = steps[steps.length - 1];
    const dotted = steps.length <= DOTS ? steps : [end];
    const curve = (/** @type {string} */ kind, /** @type {(p: Point) => number} */ share) => svg`
      <g class=${kind}><polyline points=${line(share)}></polyline>
        ${dotted.map((p) => svg`<circle cx=${x(p.step)} cy=${y(share(p))}
          r=${p === end ? 4.5 : 2.5}></circle>`)}</g>`;
    const right = width - EDGE.right;
    return html`<svg id="teach-chart" class="teach-chart" aria-hidden="true" width=${width}
      height=${HEIGHT} viewBox="0 0 ${width} ${HEIGHT}">
      <rect class="goal" x=${EDGE.left} width=${inner} y=${y(1)}
        height=${y(this.margin) - y(1)}></rect>
      ${[0, 0.5, 1].map((share) => svg`<g class="grid">
        <line x1=${EDGE.left} x2=${right} y1=${y(share)} y2=${y(share)}></line>
        <text x=${EDGE.left - 8} y=${y(share) + 4} text-anchor="end">${mark(most * share)}</text>
        <text x=${right + 8} y=${y(share) + 4}>${100 * share} %</text></g>`)}
      <g class="loss"><text class="axis" x="0" y="14">loss in nats</text></g>
      <g class="least"><text class="axis" x=${width} y="14" text-anchor="end">probability</text></g>
      <g class="grid">${marks(first, last, width).map((step) => svg`<text x=${x(step)}
        y=${HEIGHT - 6} text-anchor=${step === first ? 'start' : step === last ? 'end' : 'middle'}>${
        step === first ? `step ${step}` : step}</text>`)}</g>
      <g class="margin"><line x1=${EDGE.left} x2=${right} y1=${y(this.margin)}
        y2=${y(this.margin)}></line></g>
      ${curve('loss', loss)}${curve('least', least)}
      ${width < WIDE ? nothing : svg`<text class="label margin" x=${EDGE.left + 10}
        y=${y(this.margin) + this.#beside(steps, y)}>to reach: ${percent(this.margin)}</text>`}
      ${this.#labels(x(last), y(loss(end)), y(least(end)))}</svg>`;
  }

  /** Where the margin's name stands free of the loss. @param {Point[]} steps */
  #beside(steps, /** @type {(share: number) => number} */ y) {
    const most = nice(Math.max(...steps.map(({ loss }) => loss)));
    return y(steps[0].loss / most) < y(this.margin) ? 16 : -7;
  }

  /** The names of the lines at their ends, kept apart. @param {number} x */
  #labels(x, /** @type {number} */ loss, /** @type {number} */ least) {
    const [low, high] = [HEIGHT - EDGE.bottom - 6, EDGE.top + 14];
    const inside = (/** @type {number} */ y) => Math.min(low, Math.max(high, y));
    let [a, b] = [inside(loss - 11), inside(least - 11)];
    if (Math.abs(a - b) < APART) {
      const middle = inside((a + b) / 2);
      const side = loss >= least ? 1 : -1;
      [a, b] = [middle + (side * APART) / 2, middle - (side * APART) / 2];
    }
    const at = x - 10;
    const anchor = at < EDGE.left + 120 ? 'start' : 'end';
    const text = (/** @type {string} */ name, /** @type {string} */ kind,
      /** @type {number} */ y) => svg`<text class="label ${kind}"
        x=${anchor === 'start' ? x + 10 : at} y=${y} text-anchor=${anchor}>${name}</text>`;
    return [text('loss', 'loss', a), text('least probability', 'least', b)];
  }
}

/** A round number at or above a value. @param {number} value */
function nice(value) {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * (ROUND.find((n) => n * power >= value) ?? 10);
}

/** The steps that are named: the first, the last, and round ones between, well apart. */
function marks(/** @type {number} */ first, /** @type {number} */ last, /** @type {number} */ width) {
  const by = Math.max(1, nice((last - first) / Math.max(2, Math.floor(width / 130))));
  const found = [first];
  for (let step = by * Math.ceil((first + 0.6 * by) / by); step < last - 0.6 * by; step += by) {
    if (Number.isInteger(step)) found.push(step);
  }
  return last > first ? [...found, last] : found;
}

/** @param {number} value a mark of an axis */
function mark(value) {
  const digits = value >= 0.1 ? 2 : 4;
  return Number.isInteger(value) ? String(value) : shown(value, digits);
}

customElements.define('nw-teach-chart', NwTeachChart);
