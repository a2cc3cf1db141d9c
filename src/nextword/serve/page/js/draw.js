// @ts-check
/** Pictures on canvas. Colours come from the style sheet's variables; numbers never do. */

/** @typedef {'weights' | 'signed'} Domain */

const ramps = /** @type {Map<string, Uint8ClampedArray>} */ (new Map());
const colours = /** @type {Map<string, [number, number, number]>} */ (new Map());
window.addEventListener('nw-theme', () => {
  ramps.clear();
  colours.clear();
});

/** @param {string} variable @returns {[number, number, number]} */
export function colour(variable) {
  const known = colours.get(variable);
  if (known) return known;
  const text = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  const value = Number.parseInt(text.slice(1), 16);
  colours.set(variable, [value >> 16, (value >> 8) & 255, value & 255]);
  return /** @type {[number, number, number]} */ (colours.get(variable));
}

/**
 * 256 colours, four bytes each: low → high, or minus → zero → plus.
 * @param {Domain} domain
 * @returns {Uint8ClampedArray}
 */
function ramp(domain) {
  const known = ramps.get(domain);
  if (known) return known;
  const stops = domain === 'weights'
    ? ['--weight-low', '--weight-high'] : ['--minus', '--zero', '--plus'];
  const ends = stops.map(colour);
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i += 1) {
    const along = (i / 255) * (ends.length - 1);
    const left = Math.min(ends.length - 2, Math.floor(along));
    const share = along - left;
    for (let c = 0; c < 3; c += 1) {
      bytes[4 * i + c] = ends[left][c] * (1 - share) + ends[left + 1][c] * share;
    }
    bytes[4 * i + 3] = 255;
  }
  ramps.set(domain, bytes);
  return bytes;
}

/**
 * Run a canvas job and let the browser's performance tools see how long it took.
 * @template T @param {() => T} job @returns {T}
 */
function measured(job) {
  const start = performance.now();
  const result = job();
  performance.measure('nw-draw', { start, end: performance.now() });
  return result;
}

/**
 * One pixel a cell; the style sheet stretches the canvas. What is not visible stays clear, so that
 * the hatching behind the canvas is seen.
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} data [rows, columns]; bytes count as 0–255
 * @param {number[]} shape
 * @param {Domain} domain
 * @param {number} limit the value of the strongest colour
 * @param {{root?: boolean, visible?: (row: number) => [number, number]}} [options] the square root
 *   of the colour; from which column to before which one a row is drawn
 */
export function matrix(canvas, data, [rows, columns], domain, limit, { root, visible } = {}) {
  measured(() => {
    const context = canvas.getContext('2d');
    if (!context || !rows || !columns) return;
    canvas.width = columns;
    canvas.height = rows;
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const palette = new Uint32Array(ramp(domain).buffer);
    const place = placing(domain, limit, root ?? false);
    const fine = data instanceof Uint8Array // then every value has a colour worked out before
      ? Uint32Array.from({ length: 256 }, (_, value) => palette[place(value)]) : null;
    for (let r = 0; r < rows; r += 1) {
      const [first, end] = visible ? visible(r) : [0, columns];
      const last = r * columns + end;
      if (fine) for (let i = r * columns + first; i < last; i += 1) pixels[i] = fine[data[i]];
      else for (let i = r * columns + first; i < last; i += 1) pixels[i] = palette[place(data[i])];
    }
    context.putImageData(image, 0, 0);
  });
}

/**
 * From a value to its colour's number.
 * @param {Domain} domain @param {number} limit @param {boolean} root
 * @returns {(value: number) => number}
 */
function placing(domain, limit, root) {
  const scale = limit > 0 ? 1 / limit : 0;
  const clamp = (/** @type {number} */ x) => (x > 0 ? (x < 1 ? x : 1) : 0);
  if (domain === 'signed') return (v) => Math.round(255 * clamp(0.5 + 0.5 * v * scale));
  if (root) return (v) => Math.round(255 * Math.sqrt(clamp(v * scale)));
  return (v) => Math.round(255 * clamp(v * scale));
}

/**
 * A small square picture of one head, from bytes where 255 is a weight of 1.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} bytes [size, size]
 * @param {number} size
 * @param {{root?: boolean}} [options]
 */
export function thumbnail(canvas, bytes, size, { root } = {}) {
  matrix(canvas, bytes, [size, size], 'weights', 255, { root, visible: (r) => [0, r + 1] });
}

/**
 * A row of thin bars above and below a zero line. Its size is fixed and the style sheet stretches
 * it: to ask the browser for one would make it lay out the page.
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} data
 * @param {string} variable the colour of the bars
 * @param {number} limit
 */
export function sparkline(canvas, data, variable, limit) {
  measured(() => {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [640 * ratio, 40 * ratio];
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d');
    if (!context) return;
    const middle = height / 2;
    context.fillStyle = `rgb(${colour('--line').join(' ')})`;
    context.fillRect(0, Math.round(middle), width, 1);
    context.fillStyle = `rgb(${colour(variable).join(' ')})`;
    const step = width / data.length;
    for (let i = 0; i < data.length; i += 1) {
      const tall = limit > 0 ? (data[i] / limit) * (middle - 1) : 0;
      context.fillRect(i * step, middle - Math.max(0, tall), Math.max(1, step - 1), Math.abs(tall));
    }
  });
}
