// @ts-check
/**
 * The tree of replies: the prompt is its root, each token that followed is a node under the token
 * before it. A reply is a path from the root; to branch is to put another token under a node.
 * It lives in the page only; the server is stateless.
 */

/**
 * @typedef {{token_id: number, token: string, probability: number,
 *   kept_probability: number}} Choice
 * @typedef {{token_id: number, token: string, text?: string, probability: number,
 *   kept_probability: number, candidates?: Choice[], finish_reason?: string|null}} Step
 * @typedef {{id: number, parent: number|null, children: number[], latest: number|null,
 *   depth: number, choice: Choice|null, candidates: Choice[], picked: boolean,
 *   reason: string|null}} Node
 *   `candidates` are what could have come after this node; `picked` says that a person chose it.
 * @typedef {{id: number, level: number, place: number, among: number}} Place
 * @typedef {{nodes: Node[], first: number, last: number}} Segment
 *   A stretch without a fork: ids of its first and last node.
 */

/** @param {Choice|null} choice @param {Node|null} parent @param {number} id @returns {Node} */
const newNode = (choice, parent, id) => ({
  id,
  parent: parent ? parent.id : null,
  children: [],
  latest: null,
  depth: parent ? parent.depth + 1 : 0,
  choice,
  candidates: [],
  picked: false,
  reason: null,
});

export class Tree {
  /** @param {number[]} promptIds */
  constructor(promptIds) {
    this.promptIds = promptIds;
    /** @type {Node[]} */
    this.nodes = [newNode(null, null, 0)];
    this.active = 0; // the node at which the sentence ends now
  }

  /** @param {number} id */
  node(id) {
    return this.nodes[id];
  }

  /** The child of a node with this token, or undefined. @param {number} id @param {number} token */
  child(id, token) {
    return this.node(id).children.map((child) => this.node(child))
      .find((child) => child.choice?.token_id === token);
  }

  /** Put a token under a node, or find it there. @param {number} id @param {Choice} choice */
  add(id, choice) {
    const parent = this.node(id);
    let child = this.child(id, choice.token_id);
    if (!child) {
      child = newNode(choice, parent, this.nodes.length);
      this.nodes.push(child);
      parent.children.push(child.id);
    }
    parent.latest = child.id;
    return child;
  }

  /** One step of the model after the active node; it becomes the active one. @param {Step} step */
  step(step) {
    const before = this.node(this.active);
    if (step.candidates?.length) before.candidates = step.candidates;
    const { token_id, token, probability, kept_probability } = step;
    const child = this.add(before.id, { token_id, token, probability, kept_probability });
    child.choice = { token_id, token, probability, kept_probability };
    child.reason = step.finish_reason === 'steps' ? null : step.finish_reason ?? null;
    this.active = child.id;
    return child;
  }

  /**
   * Rewind to a node and go on with another of its candidates.
   * @param {number} id @param {Choice} choice
   * @returns {boolean} whether the branch is new
   */
  branch(id, choice) {
    const known = this.child(id, choice.token_id);
    const child = this.add(id, choice);
    if (!known) child.picked = true;
    this.active = known ? this.leaf(child.id) : child.id;
    return !known;
  }

  /** The end of the branch through a node that was looked at last. @param {number} id */
  leaf(id) {
    let node = this.node(id);
    while (node.latest !== null) node = this.node(node.latest);
    return node.id;
  }

  /** Make a branch the one that is shown. @param {number} id any node of it */
  show(id) {
    for (let node = this.node(id); node.parent !== null; node = this.node(node.parent)) {
      this.node(node.parent).latest = node.id;
    }
    this.active = this.leaf(id);
  }

  /** Nodes from the first token of the reply to this one. @param {number} id */
  path(id = this.active) {
    /** @type {Node[]} */
    const path = [];
    for (let node = this.node(id); node.parent !== null; node = this.node(node.parent)) {
      path.push(node);
    }
    return path.reverse();
  }

  /** Ids of the prompt and of the reply up to a node. @param {number} id */
  ids(id = this.active) {
    return [...this.promptIds, ...this.path(id).map((node) => node.choice?.token_id ?? 0)];
  }

  /** The node at which these ids end; null if they are no path here. @param {number[]} ids */
  find(ids) {
    const n = this.promptIds.length;
    if (ids.length < n || this.promptIds.some((id, i) => id !== ids[i])) return null;
    let node = this.node(0);
    for (const token of ids.slice(n)) {
      const child = this.child(node.id, token);
      if (!child) return null;
      node = child;
    }
    return node;
  }

  /** The stretch without a fork that begins at a node. @param {number} id @returns {Segment} */
  segment(id) {
    const nodes = [this.node(id)];
    while (nodes[nodes.length - 1].children.length === 1) {
      nodes.push(this.node(nodes[nodes.length - 1].children[0]));
    }
    return { nodes, first: id, last: nodes[nodes.length - 1].id };
  }

  /**
   * Every stretch of the tree in reading order: a stretch, then those that fork from its end.
   * @returns {(Place & {segment: Segment})[]}
   */
  segments() {
    /** @type {(Place & {segment: Segment})[]} */
    const found = [];
    const waiting = this.forks(0, 1);
    while (waiting.length) {
      const place = /** @type {Place} */ (waiting.pop());
      const segment = this.segment(place.id);
      found.push({ ...place, segment });
      waiting.push(...this.forks(segment.last, place.level + 1));
    }
    return found;
  }

  /** The ways on from a node, the last first. @param {number} id @param {number} level */
  forks(id, level) {
    return this.node(id).children
      .map((child, i, all) => ({ id: child, level, place: i + 1, among: all.length })).reverse();
  }
}
