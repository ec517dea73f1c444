// The page's elements: made, looked up, and changed only where something is different, so that focus, selection and
// scrolling stay where they are. Whatever frontdoor says goes into the page as text.

const SVG = "http://www.w3.org/2000/svg";

export function byId(id) {
  return document.getElementById(id);
}

/** A new element. `attributes`: by name; `text` is its text, and what begins with "on" is listened to. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same, of a picture. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else set(node, name, value);
  }
  node.append(...children);
  return node;
}

/** Give an attribute; null and false take it away. */
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/** Give it this text. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show it, or not. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** A list that follows another one: each item has one node for as long as its key is there. */
export class Rows {
  /** `make(item)` gives `{node, update(item)}`; `key(item)` says which is which. */
  constructor(parent, key, make) {
    this.parent = parent;
    this.key = key;
    this.make = make;
    this.rows = new Map();
  }

  show(items) {
    const wanted = new Set(items.map(this.key));
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.node.remove();
        this.rows.delete(key);
      }
    }
    let before = this.parent.firstChild;
    for (const item of items) {
      const key = this.key(item);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(item);
        this.rows.set(key, row);
      }
      if (row.node === before) before = before.nextSibling;
      else this.parent.insertBefore(row.node, before);
      row.update?.(item);
    }
  }
}
