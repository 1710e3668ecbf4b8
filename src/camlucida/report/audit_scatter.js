// The scatter plot: all images in the plane, coloured by correctness or class; dragging selects an area.

const MARGIN_PX = 10, N_CLASS_COLOURS = 11, HOVER_PX = 14;
const CLASS_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#882255", "#999933", "#5544bb", "#44aa99", "#8a5a2b"];

function createScatter(audit, state, tiles, open) {
  const canvas = document.getElementById("scatter");
  if (!canvas || !audit.points) return;
  const card = document.getElementById("card"), key = document.getElementById("key"), select = document.getElementById("colour");
  const points = audit.points, context = canvas.getContext("2d");
  const counts = new Map(), classOf = i => audit.label[i] >= 0 ? audit.label[i] : audit.predicted[i];
  for (let i = 0; i < audit.n; i++) counts.set(classOf(i), (counts.get(classOf(i)) || 0) + 1);
  const ranked = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b).slice(0, N_CLASS_COLOURS);
  const classColour = new Map(ranked.map((code, i) => [code, CLASS_COLOURS[i]]));
  let width = 1, height = 1, drag = null, cells = null;

  for (const name of Object.keys(audit.categories)) select.append(element("option", { value: "c." + name }, name));
  for (const name of audit.numbers) select.append(element("option", { value: "r." + name }, name));

  const x = i => MARGIN_PX + points[2 * i] * (width - 2 * MARGIN_PX);
  const y = i => height - MARGIN_PX - points[2 * i + 1] * (height - 2 * MARGIN_PX);

  function palette() {
    const css = getComputedStyle(document.documentElement), at = name => css.getPropertyValue(name).trim();
    return { ink: at("--ink"), muted: at("--muted"), line: at("--line"), paper: at("--paper"), right: at("--s0"), wrong: at("--s1") };
  }

  // The colour of each image, and the entries of the key.
  function colouring(colours) {
    const by = state.values.colour;
    if (by === "class") {
      const entries = ranked.map(code => [classColour.get(code), className(audit, code)]);
      if (counts.size > ranked.length) entries.push([colours.muted, `${counts.size - ranked.length} other classes`]);
      return [i => classColour.get(classOf(i)) || colours.muted, entries];
    }
    if (by.startsWith("c.") && audit.categories[by.slice(2)]) {
      const { values, codes } = audit.categories[by.slice(2)];
      return [i => CLASS_COLOURS[codes[i]] || colours.muted, values.slice(0, N_CLASS_COLOURS).map((name, c) => [CLASS_COLOURS[c], name])];
    }
    if (by.startsWith("r.") && audit.columns.has(by.slice(2))) {
      const values = audit.columns.get(by.slice(2)), sorted = values.filter(Number.isFinite).sort();
      const low = sorted[Math.floor(0.02 * sorted.length)], high = sorted[Math.ceil(0.98 * sorted.length) - 1];
      const colour = t => { const c = 3 * Math.round(255 * Math.min(Math.max(t, 0), 1)); return `rgb(${audit.colours.slice(c, c + 3)})`; };
      return [
        i => Number.isFinite(values[i]) ? colour((values[i] - low) / (high - low || 1)) : colours.line,
        [0, 0.5, 1].map(t => [colour(t), formatted(low + t * (high - low))]),
      ];
    }
    return [
      i => [colours.wrong, colours.right][audit.correct[i]] || colours.muted,
      [[colours.right, "correct"], [colours.wrong, "wrong"], ...(audit.correct.includes(-1) ? [[colours.muted, "unlabelled"]] : [])],
    ];
  }

  function draw() {
    const ratio = devicePixelRatio || 1, colours = palette(), [colour, entries] = colouring(colours), inside = state.inside;
    width = canvas.clientWidth; height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const size = audit.n > 3000 ? 3 : audit.n > 600 ? 4 : 6, filtered = state.isFiltered();
    context.fillStyle = colours.line;
    if (filtered) for (let i = 0; i < audit.n; i++) if (!inside[i]) context.fillRect(x(i) - size / 2, y(i) - size / 2, size, size);
    for (const wrong of [false, true]) // wrong predictions lie on top, as crosses
      for (let i = 0; i < audit.n; i++) {
        if (!inside[i] || (audit.correct[i] === 0) !== wrong || Number.isNaN(points[2 * i])) continue;
        if (wrong) {
          const a = x(i), b = y(i), r = size * 0.7;
          context.strokeStyle = colour(i);
          context.lineWidth = size > 3 ? 2 : 1.5;
          context.beginPath();
          context.moveTo(a - r, b - r); context.lineTo(a + r, b + r);
          context.moveTo(a + r, b - r); context.lineTo(a - r, b + r);
          context.stroke();
        } else {
          context.fillStyle = colour(i);
          context.fillRect(x(i) - size / 2, y(i) - size / 2, size, size);
        }
      }
    const area = drag?.area || (state.values.area ? state.values.area.split(",").map(Number) : null);
    if (area) {
      const [left, top, right, bottom] = area, w = width - 2 * MARGIN_PX, h = height - 2 * MARGIN_PX;
      context.strokeStyle = colours.ink;
      context.setLineDash([4, 3]);
      context.lineWidth = 1.5;
      context.strokeRect(MARGIN_PX + left * w, height - MARGIN_PX - bottom * h, (right - left) * w, (bottom - top) * h);
      context.setLineDash([]);
    }
    key.replaceChildren(...entries.map(([tone, name]) => {
      const mark = element("span");
      mark.style.background = tone;
      return element("li", {}, mark, name);
    }));
    cells = null;
  }

  // The image nearest to a point of the canvas among those that pass the filters; -1 for none within reach.
  function nearest(px, py) {
    if (!cells) {
      cells = new Map();
      for (const i of state.shown) {
        const cell = Math.floor(x(i) / HOVER_PX) + 1000 * Math.floor(y(i) / HOVER_PX);
        if (cells.has(cell)) cells.get(cell).push(i); else cells.set(cell, [i]);
      }
    }
    let best = -1, least = HOVER_PX ** 2;
    for (let dx = -1; dx <= 1; dx++)
      for (let dy = -1; dy <= 1; dy++)
        for (const i of cells.get(Math.floor(px / HOVER_PX) + dx + 1000 * (Math.floor(py / HOVER_PX) + dy)) || []) {
          const distance = (x(i) - px) ** 2 + (y(i) - py) ** 2;
          if (distance < least) { least = distance; best = i; }
        }
    return best;
  }

  function hover(i) {
    card.hidden = i < 0;
    if (i < 0) return;
    const { predicted, label, wrong, confidence } = tiles.describe(i), image = element("canvas");
    card.replaceChildren(image, element("b", {}, audit.targets ? targetTitle(audit, i) : wrong ? `${label}, predicted as ${predicted}` : predicted), ` ${confidence}`, element("br"), audit.names[i]);
    tiles.draw(image, i, 120, tiles.mapIndex(), { boxes: Boolean(audit.targets) });
    card.style.left = Math.max(0, Math.min(width - 200, x(i) + 12)) + "px";
    card.style.top = (y(i) > height / 2 ? y(i) - card.offsetHeight - 12 : y(i) + 12) + "px";
  }

  const inPlane = (px, py) => [
    Math.min(Math.max((px - MARGIN_PX) / (width - 2 * MARGIN_PX), 0), 1),
    Math.min(Math.max((height - MARGIN_PX - py) / (height - 2 * MARGIN_PX), 0), 1),
  ];
  canvas.addEventListener("pointerdown", event => {
    if (event.pointerType === "touch") return;
    drag = { from: [event.offsetX, event.offsetY], area: null };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    if (!drag) return hover(nearest(event.offsetX, event.offsetY));
    if (Math.hypot(event.offsetX - drag.from[0], event.offsetY - drag.from[1]) < 5 && !drag.area) return;
    const [a, b] = [inPlane(...drag.from), inPlane(event.offsetX, event.offsetY)];
    drag.area = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    hover(-1);
    draw();
  });
  canvas.addEventListener("pointerup", event => {
    const area = drag?.area, dragged = drag;
    drag = null;
    if (area) return state.set({ area: area.map(v => v.toFixed(3)).join(",") });
    const i = nearest(event.offsetX, event.offsetY);
    if (i >= 0) open(i, state.shown);
    else if (dragged && state.values.area) state.set({ area: "" });
  });
  canvas.addEventListener("pointercancel", () => { drag = null; draw(); });
  canvas.addEventListener("pointerleave", () => hover(-1));
  select.addEventListener("change", () => state.set({ colour: select.value }, "colour"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(draw).observe(canvas);
  state.onChange(part => {
    select.value = state.values.colour;
    if (part !== "display" && part !== "image") draw();
  });
}
