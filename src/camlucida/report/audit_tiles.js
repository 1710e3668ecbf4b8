// Thumbnails out of the sprite sheets, and the stored maps drawn over them with the library's colours.

const MAX_SHEETS = 48; // decoded at once: about 45 MB
const MAP_LEVELS = 254, OUTSIDE = [200, 201, 206];

function createTiles(audit, state) {
  const thumb = i => audit.thumb ? audit.thumb[i] : i; // the targets of an image share its thumbnail
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

  const colours = Uint8Array.from(audit.colours), alphas = { opacity: -1, values: new Float32Array(256) };

  // The weight of the colour by map value, as camlucida.render.overlay computes it with blend="saliency".
  function weights(opacity) {
    if (alphas.opacity !== opacity) {
      alphas.opacity = opacity;
      for (let v = 0; v < 256; v++) alphas.values[v] = 1 - (1 - opacity) ** (2 * v / 255);
    }
    return alphas.values;
  }

  // Where pixels lie between the cells of a map along one axis: the cell before each, and the fraction to the next;
  // -1 outside of the network input.
  function positions(n, cells, from, to) {
    const before = new Int32Array(n), fraction = new Float32Array(n);
    for (let k = 0; k < n; k++) {
      const at = ((k + 0.5) / n - from) / (to - from), place = Math.min(Math.max(at * cells - 0.5, 0), cells - 1);
      before[k] = at < 0 || at > 1 ? -1 : Math.floor(place);
      fraction[k] = place - Math.floor(place);
    }
    return { before, fraction };
  }

  // Blends the map of image i, interpolated linearly, into pixels.
  function blend(pixels, width, height, i, index, opacity) {
    const { height: h, width: w } = audit.maps[index], values = maps.get(index).values, start = i * h * w;
    if (values[start] === 0) return;
    const [left, top, right, bottom] = audit.parts[audit.part[i]], data = pixels.data, alpha = weights(opacity);
    const xs = positions(width, w, left, right), ys = positions(height, h, top, bottom), fade = 0.45 * Math.min(1, 2 * opacity);
    for (let y = 0, at = 0; y < height; y++) {
      const row = start + ys.before[y] * w, next = ys.before[y] + 1 < h ? w : 0, ty = ys.fraction[y];
      for (let x = 0; x < width; x++, at += 4) {
        if (ys.before[y] < 0 || xs.before[x] < 0) {
          for (let c = 0; c < 3; c++) data[at + c] += fade * (OUTSIDE[c] - data[at + c]);
          continue;
        }
        const cell = row + xs.before[x], step = xs.before[x] + 1 < w ? 1 : 0, tx = xs.fraction[x];
        const upper = values[cell] + tx * (values[cell + step] - values[cell]);
        const lower = values[cell + next] + tx * (values[cell + next + step] - values[cell + next]);
        const level = Math.max(0, Math.round((upper + ty * (lower - upper) - 1) * (255 / MAP_LEVELS)));
        const weight = alpha[level], colour = 3 * level;
        data[at] += weight * (colours[colour] - data[at]);
        data[at + 1] += weight * (colours[colour + 1] - data[at + 1]);
        data[at + 2] += weight * (colours[colour + 2] - data[at + 2]);
      }
    }
  }

  function size(i, boxPx) {
    let w = audit.sizes[2 * thumb(i)], h = audit.sizes[2 * thumb(i) + 1];
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
    const number = Math.floor(thumb(i) / perSheet), entry = audit.cell && audit.sizes[2 * thumb(i)] ? sheet(number) : null;
    if (entry && !entry.bitmap) waiting.push(entry.ready);
    const field = map >= 0 ? mapValues(map) : null;
    if (field && !field.values) waiting.push(field.ready);
    const paint = bitmap => canvas.ticket === ticket && painted(canvas, i, bitmap, map, options);
    if (!waiting.length) return paint(entry?.bitmap);
    Promise.all(waiting).then(() => { // the sheet may have been closed meanwhile
      if (!entry) return paint(null);
      if (sheets.get(number) === entry) paint(entry.bitmap);
      else if (canvas.ticket === ticket) draw(canvas, i, boxPx, map, options);
    });
  }

  function painted(canvas, i, bitmap, map, { region, boxes }) {
    const context = canvas.getContext("2d", { willReadFrequently: map >= 0 }), { width, height } = canvas;
    context.fillStyle = "#808084";
    context.fillRect(0, 0, width, height);
    if (bitmap) {
      const k = thumb(i) % perSheet, x = (k % audit.perRow) * audit.cell, y = Math.floor(k / audit.perRow) * audit.cell;
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, x, y, audit.sizes[2 * thumb(i)], audit.sizes[2 * thumb(i) + 1], 0, 0, width, height);
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
    const target = audit.targets ? `${audit.targets[i]} ${confidence}` : "", outcome = audit.outcomes?.[i];
    tile.setAttribute("aria-label", target ? `${audit.names[i]}: ${target}, ${outcome}` : `${audit.names[i]}: ${wrong ? label + ", " : ""}predicted as ${predicted}, ${confidence}${wrong ? ", wrong" : ""}`);
    first.textContent = `${wrong ? "✗ " : ""}${target || `${predicted} ${confidence}`}`;
    first.className = wrong ? "is-wrong" : "";
    second.textContent = target ? `${outcome} · ${audit.names[i].split("/").pop()}` : wrong ? `label: ${label}` : audit.names[i].split("/").pop();
    tile.image = i;
    const map = mapIndex(), usual = audit.maps.length ? options.map ?? -1 : -1; // a strip may have a map of its own
    draw(canvas, i, boxPx, map >= 0 ? map : usual, target ? { ...options, boxes: true } : options);
  }

  return { draw, fill, mapIndex, describe };
}
