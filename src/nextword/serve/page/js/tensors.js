// @ts-check
/** Reads the server's tensor answers: a JSON header, then little-endian numbers. */

/**
 * @typedef {{shape: number[], data: Float32Array | Uint8Array, scale: number,
 *   at: (...index: number[]) => number}} Tensor
 * @typedef {{version: string, meta: any, names: string[], bytes: number,
 *   get: (name: string) => Tensor | undefined}} Tensors
 */

/**
 * @param {ArrayBuffer} buffer
 * @returns {Tensors}
 */
export function readTensors(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const found = new Map();
  for (const entry of header.tensors) found.set(entry.name, view(buffer, 4 + length, entry));
  return {
    version: header.version,
    meta: header.meta,
    names: [...found.keys()],
    bytes: buffer.byteLength,
    get: (name) => found.get(name),
  };
}

/**
 * One tensor as a view of the answer: nothing is copied.
 * @param {ArrayBuffer} buffer
 * @param {number} start where the data begins
 * @param {{dtype: string, shape: number[], offset: number, scale: number}} entry
 * @returns {Tensor}
 */
function view(buffer, start, { dtype, shape, offset, scale }) {
  const count = shape.reduce((product, size) => product * size, 1);
  const kind = dtype === 'uint8' ? Uint8Array : Float32Array;
  const data = new kind(buffer, start + offset, count);
  const at = (/** @type {number[]} */ ...index) => {
    const place = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
    return data[place] * scale;
  };
  return { shape, data, scale, at };
}

/**
 * A stretch of the last axis: the vector at `index` of the leading axes.
 * @param {Tensor} tensor
 * @param {...number} index
 */
export function vector(tensor, ...index) {
  const width = tensor.shape[tensor.shape.length - 1];
  const row = index.reduce((sum, i, axis) => sum * tensor.shape[axis] + i, 0);
  return tensor.data.subarray(row * width, (row + 1) * width);
}
