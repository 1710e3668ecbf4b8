// Thumbnails out of the sprite sheets, and the stored maps drawn over them with the library's colours.

const MAX_SHEETS = 48; // decoded at once: about 45 MB
const MAP_LEVELS = 254;

function createTiles(audit, state) {
  const sheets = new Map(), maps = new Map(), perSheet = audit.perRow ** 2;

  function sheet(number) {
    let entry = sheets.get(number);
    if (!entry) {
      const bytes = () => new Blob([sheetBytes(number)], { type: "image/webp" });
      entry = { bitmap: null };
      entry.ready = createImageBitmap(bytes()).then(bitmap => { entry.bitmap = bitmap; return bitmap; });
    } else sheets.delete(number);
    sheets.set(number, entry); // the most recent one is the last
    if (sheets.size > MAX_SHEETS) {
      const [oldest, old] = sheets.entries().next().value;
      sheets.delete(oldest);
      old.ready.then(bitmap => bitmap.close());
    }
    return entry;
  }

  function sheetBytes(number) { return base64Bytes(document.getElementById("block-sheet-" + number).textContent); }

  function mapValues(index) {
    if (!maps.has(index)) {
      const entry = { values: null };
      entry.ready = inflated(audit.maps[index].block).then(buffer => { entry.values = new Uint8Array(buffer); });
      maps.set(index, entry);
    }
    return maps.get(index);
  }

  const table = audit.colours;

  // Blends the map of image i into pixels (width x height), as camlucida.render.overlay does with blend="saliency".
  function blend(pixels, width, height, i, index, opacity) {
    const { height: h, width: w } = audit.maps[index], values = maps.get(index).values, start = i * h * w;
    const [left, top, right, bottom] = audit.parts[audit.part[i]], data = pixels.data;
    const fade = 0.45 * Math.min(1, 2 * opacity);
    if (values[start] === 0) return;
    for (let y = 0; y < height; y++) {
      const v = ((y + 0.5) / height - top) / (bottom - top);
      const fy = Math.min(Math.max(v * h - 0.5, 0), h - 1), y0 = Math.floor(fy), y1 = Math.min(y0 + 1, h - 1), ty = fy - y0;
      for (let x = 0; x < width; x++) {
        const u = ((x + 0.5) / width - left) / (right - left), at = 4 * (y * width + x);
        if (u < 0 || u > 1 || v < 0 || v > 1) { // outside of the network input
          for (let c = 0; c < 3; c++) data[at + c] += fade * ([200, 201, 206][c] - data[at + c]);
          continue;
        }
        const fx = Math.min(Math.max(u * w - 0.5, 0), w - 1), x0 = Math.floor(fx), x1 = Math.min(x0 + 1, w - 1), tx = fx - x0;
        const a = values[start + y0 * w + x0] * (1 - tx) + values[start + y0 * w + x1] * tx;
        const b = values[start + y1 * w + x0] * (1 - tx) + values[start + y1 * w + x1] * tx;
        const value = Math.max(0, (a * (1 - ty) + b * ty - 1) / MAP_LEVELS);
        const alpha = 1 - (1 - opacity) ** (2 * value), colour = 3 * Math.round(255 * value);
        for (let c = 0; c < 3; c++) data[at + c] += alpha * (table[colour + c] - data[at + c]);
      }
    }
  }

  function size(i, boxPx) {
    let w = audit.sizes[2 * i], h = audit.sizes[2 * i + 1];
    if (!w) { w = audit.columns.get("width")?.[i] || 1; h = audit.columns.get("height")?.[i] || 1; }
    const scale = boxPx / Math.max(w, h);
    return [Math.max(1, Math.round(w * scale)), Math.max(1, Math.round(h * scale))];
  }

  // Draws image i into a canvas whose longer side has boxPx CSS pixels; map is an index into audit.maps, or -1.
  function draw(canvas, i, boxPx, map, options = {}) {
    const [width, height] = size(i, boxPx), ratio = Math.min(2, devicePixelRatio || 1);
    const w = Math.round(width * ratio), h = Math.round(height * ratio);
    const ticket = canvas.ticket = {};
    if (canvas.width !== w || canvas.height !== h || canvas.image !== i) { canvas.width = w; canvas.height = h; }
    canvas.image = i;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    const waiting = [];
    const entry = audit.cell && audit.sizes[2 * i] ? sheet(Math.floor(i / perSheet)) : null;
    if (entry && !entry.bitmap) waiting.push(entry.ready);
    const field = map >= 0 ? mapValues(map) : null;
    if (field && !field.values) waiting.push(field.ready);
    const paint = bitmap => canvas.ticket === ticket && painted(canvas, i, bitmap, map, options);
    if (!waiting.length) return paint(entry?.bitmap);
    Promise.all(waiting).then(() => { // the sheet may have been closed meanwhile
      if (!entry) return paint(null);
      if (sheets.get(Math.floor(i / perSheet)) === entry) paint(entry.bitmap);
      else if (canvas.ticket === ticket) draw(canvas, i, boxPx, map, options);
    });
  }

  function painted(canvas, i, bitmap, map, { region, boxes }) {
    const context = canvas.getContext("2d", { willReadFrequently: map >= 0 }), { width, height } = canvas;
    context.fillStyle = "#808084";
    context.fillRect(0, 0, width, height);
    if (bitmap) {
      const k = i % perSheet, x = (k % audit.perRow) * audit.cell, y = Math.floor(k / audit.perRow) * audit.cell;
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, x, y, audit.sizes[2 * i], audit.sizes[2 * i + 1], 0, 0, width, height);
    }
    if (map >= 0) {
      const pixels = context.getImageData(0, 0, width, height);
      blend(pixels, width, height, i, map, Number(state.values.opacity));
      context.putImageData(pixels, 0, 0);
    }
    if (region) frame(context, region, "#ff2bd6", width, height);
    const found = boxes ? audit.boxes[i] : null;
    for (let b = 0; found && b < found.length; b += 4) frame(context, found.slice(b, b + 4), "#ffffff", width, height);
  }

  function frame(context, [left, top, right, bottom], colour, width, height) {
    const line = Math.max(1, Math.round(Math.min(width, height) / 80));
    for (const [inset, style] of [[1.5 * line, "#1d1d22"], [0.5 * line, colour]]) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.strokeRect(left * width + inset, top * height + inset, (right - left) * width - 2 * inset, (bottom - top) * height - 2 * inset);
    }
  }

  // The map that the state names, as "predicted" or "grad_cam:predicted"; -1 for none.
  function mapIndex() {
    const wanted = state.values.map;
    return wanted ? audit.maps.findIndex(entry => `${entry.method}:${entry.of}` === wanted) : -1;
  }

  function describe(i) {
    const predicted = className(audit, audit.predicted[i]), label = className(audit, audit.label[i]);
    const wrong = audit.correct[i] === 0;
    return { predicted, label, wrong, confidence: percent(audit.columns.get("confidence")?.[i]) };
  }

  // Fills a tile button with image i.
  function fill(tile, i, boxPx, options) {
    const { predicted, label, wrong, confidence } = describe(i);
    let [canvas, first, second] = tile.children;
    if (!canvas) tile.append(canvas = element("canvas", { "aria-hidden": "true" }), first = element("span"), second = element("span"));
    tile.setAttribute("aria-label", `${audit.names[i]}: ${wrong ? label + ", " : ""}predicted as ${predicted}, ${confidence}${wrong ? ", wrong" : ""}`);
    first.textContent = `${wrong ? "✗ " : ""}${predicted} ${confidence}`;
    first.className = wrong ? "is-wrong" : "";
    second.textContent = wrong ? `label: ${label}` : audit.names[i].split("/").pop();
    tile.image = i;
    draw(canvas, i, boxPx, mapIndex(), options);
  }

  return { draw, fill, mapIndex, describe };
}
