// The text with each token on the colour of its attribution; what lies between tokens stays as it was written.
function colouredText(parent, text, tokens, largest) {
  // Offsets count characters, as Python does; JavaScript's own count the halves of some.
  const characters = [...text], part = (start, end) => characters.slice(start, end).join("");
  const shown = element(parent, "p", { class: "text", dir: "auto" });
  let end = 0;
  for (const token of tokens) {
    if (token.end <= end) continue;
    const start = Math.max(token.start, end);
    shown.append(part(end, start));
    const share = largest ? token.attribution / largest : 0;
    const colour = `rgba(var(${share < 0 ? "--against" : "--for"}), ${Math.abs(share).toFixed(3)})`;
    element(shown, "mark", { style: `background: ${colour}`, title: `${token.token}: ${token.attribution.toFixed(4)}` }, part(start, token.end));
    end = token.end;
  }
  shown.append(part(end));
}

function attributionTable(parent, tokens) {
  const details = element(parent, "details");
  element(details, "summary", {}, "Attributions as numbers");
  const table = element(element(details, "div", { class: "scroll" }), "table");
  const head = element(table, "tr");
  for (const name of ["token", "attribution"]) element(head, "th", { scope: "col" }, name);
  for (const token of tokens) {
    const row = element(table, "tr");
    element(row, "td", {}, token.token);
    element(row, "td", { class: "number" }, token.attribution.toFixed(4));
  }
}

// Attention as a matrix (queries down, keys across) and as lines from queries (left) to keys (right).
function attentionFigure(parent, tokens, attention, number) {
  const details = element(parent, "details");
  element(details, "summary", {}, "Attention");
  const controls = element(details, "p");
  const pick = (name, count, first) => {
    const label = element(controls, "label", { for: `${name}-${number}` }, `${name} `);
    const select = element(label, "select", { id: `${name}-${number}` });
    if (first) element(select, "option", { value: "mean" }, first);
    for (let index = 0; index < count; index++) element(select, "option", { value: index }, index + 1);
    select.addEventListener("change", draw);
    return select;
  };
  const [layers, heads, length] = attention.shape;
  const bytes = Uint8Array.from(atob(attention.weights), (letter) => letter.charCodeAt(0));
  const layer = pick("layer", layers), head = pick("head", heads, "mean of all");
  const view = element(element(controls, "label", { for: `view-${number}` }, "view "), "select", { id: `view-${number}` });
  for (const name of ["matrix", "lines"]) element(view, "option", { value: name }, name);
  view.addEventListener("change", draw);
  const figure = element(details, "div", { class: "scroll" });
  const note = element(details, "p", { class: "small", "aria-live": "polite" });
  details.addEventListener("toggle", () => details.open && draw());

  function weight(query, key) {
    const chosen = head.value === "mean" ? [...Array(heads).keys()] : [Number(head.value)];
    let sum = 0;
    for (const one of chosen) sum += bytes[((Number(layer.value) * heads + one) * length + query) * length + key];
    return sum / chosen.length / 255;
  }

  function draw() {
    figure.replaceChildren();
    // Colours are relative to the largest weight that is shown; a cell tells its own weight.
    let largest = 0;
    for (let query = 0; query < length; query++) for (let key = 0; key < length; key++) largest = Math.max(largest, weight(query, key));
    const size = 18, margin = 90;
    if (view.value === "matrix") {
      const svg = element(figure, "svg", { width: 2 * margin + size * length, height: margin + size * length, role: "img", "aria-label": "attention matrix" });
      tokens.forEach((token, index) => {
        element(svg, "text", { x: margin - 6, y: margin + size * index + 13, "text-anchor": "end" }, token.token);
        element(svg, "text", { transform: `translate(${margin + size * index + 13}, ${margin - 6}) rotate(-60)` }, token.token);
      });
      for (let query = 0; query < length; query++) for (let key = 0; key < length; key++) {
        const value = weight(query, key);
        const cell = element(svg, "rect", { x: margin + size * key, y: margin + size * query, width: size, height: size, class: "cell", style: `fill: rgba(var(--for), ${(value / largest).toFixed(3)})` });
        const told = `${tokens[query].token} reads ${tokens[key].token}: ${value.toFixed(3)}`;
        element(cell, "title", {}, told);
        cell.addEventListener("click", () => { note.textContent = told; });
      }
      return;
    }
    const width = 420, svg = element(figure, "svg", { width, height: size * length + 8, role: "img", "aria-label": "attention lines" });
    let only = null;
    const lines = element(svg, "g");
    const drawLines = () => {
      lines.replaceChildren();
      for (let query = 0; query < length; query++) for (let key = 0; key < length; key++) {
        const value = weight(query, key);
        if (value < 0.02 || (only !== null && only !== query)) continue;
        element(lines, "line", { x1: 130, y1: size * query + 10, x2: width - 130, y2: size * key + 10, style: `stroke: rgba(var(--for), ${(value / largest).toFixed(3)}); stroke-width: 2` });
      }
    };
    tokens.forEach((token, index) => {
      const left = element(svg, "text", { x: 124, y: size * index + 14, "text-anchor": "end", tabindex: 0 }, token.token);
      for (const event of ["mouseenter", "focus"]) left.addEventListener(event, () => { only = index; drawLines(); });
      for (const event of ["mouseleave", "blur"]) left.addEventListener(event, () => { only = null; drawLines(); });
      element(svg, "text", { x: width - 124, y: size * index + 14 }, token.token);
    });
    drawLines();
  }
}

// All of an explanation: what is explained, the coloured texts, the numbers and the attention.
function drawExplanation(parent, explanation, number) {
  element(parent, "h2", {}, explanation.target);
  const values = [`value ${explanation.value.toFixed(4)}`];
  if ("baseline_value" in explanation) values.push(`baseline ${explanation.baseline_value.toFixed(4)}`, `gap ${(100 * explanation.gap).toFixed(2)} %`);
  element(parent, "p", { class: "small" }, values.join(", "));
  const largest = Math.max(...explanation.tokens.map((token) => Math.abs(token.attribution)));
  explanation.texts.forEach((text, index) => colouredText(parent, text, explanation.tokens.filter((token) => token.text === index), largest));
  attributionTable(parent, explanation.tokens);
  if (explanation.attention) attentionFigure(parent, explanation.tokens, explanation.attention, number);
}
