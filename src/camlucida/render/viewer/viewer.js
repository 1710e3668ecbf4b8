// A saved explanation: the overlay is drawn here as `camlucida.render.overlay` draws it. No request is made.
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const N_STEPS = 1025, GREY = [200, 201, 206], NAN_FADE = 0.45, BACKGROUND_CONTRAST = 0.4, NOTHING = -32768;

  // Maps are int16 differences along rows, deflated; NOTHING is where the network input does not cover the image.
  async function decoded(map) {
    const packed = Uint8Array.from(atob(map.values), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const levels = new Int16Array(await new Response(stream).arrayBuffer());
    const width = map.width, values = new Float32Array(levels.length);
    for (let row = 0; row < levels.length; row += width) {
      for (let i = row + 1; i < row + width; i++) levels[i] = levels[i] + levels[i - 1];
    }
    for (let i = 0; i < levels.length; i++) values[i] = levels[i] === NOTHING ? NaN : (levels[i] / 32767) * map.largest;
    return values;
  }

  async function pixelsOf(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  const tables = new Map();
  function table(name) {
    if (!tables.has(name)) {
      const { colours, positions } = data.palettes[name];
      const channels = colours.map((c) => [0, 2, 4].map((k) => parseInt(c.slice(k, k + 2), 16)));
      const out = new Uint8Array(3 * N_STEPS);
      for (let i = 0, j = 0; i < N_STEPS; i++) {
        const at = i / (N_STEPS - 1);
        while (j < positions.length - 2 && at >= positions[j + 1]) j++;
        const t = Math.min(1, Math.max(0, (at - positions[j]) / (positions[j + 1] - positions[j])));
        for (let k = 0; k < 3; k++) out[3 * i + k] = Math.round(channels[j][k] + t * (channels[j + 1][k] - channels[j][k]));
      }
      tables.set(name, out);
    }
    return tables.get(name);
  }

  const state = { map: data.maps[0], ...data.style };
  const paletteOf = (map) => state.colormap || (map.signed ? "signed" : data.default_colormap);

  /** Map values in [0, 1] for display: zero in the middle where the palette is diverging. */
  function scaled(value, peak, diverging) {
    const share = peak ? value / peak : 0;
    return diverging ? (Math.min(1, Math.max(-1, share)) + 1) / 2 : Math.min(1, Math.max(0, share));
  }

  function paint() {
    const { map, opacity, blend } = state;
    const name = paletteOf(map), diverging = data.palettes[name].diverging, colours = table(name);
    const photo = photos[map.image], values = fields.get(map), pixels = new ImageData(photo.width, photo.height);
    const fade = Math.min(1, 2 * opacity), from = photo.data, to = pixels.data;
    const inside = state.contour ? new Uint8Array(values.length) : null;
    for (let i = 0; i < values.length; i++) {
      const value = values[i], known = value === value, h = known ? scaled(value, map.peak, diverging) : 0;
      const strength = diverging ? Math.abs(2 * h - 1) : h, step = 3 * Math.round(h * (N_STEPS - 1));
      const alpha = !known ? NAN_FADE * fade : blend === "uniform" ? opacity : 1 - (1 - opacity) ** (2 * strength);
      if (inside) inside[i] = known && strength >= state.contour ? 1 : 0;
      const luma = (from[4 * i] * 19595 + from[4 * i + 1] * 38470 + from[4 * i + 2] * 7471 + 32768) >> 16;
      const light = Math.round(255 - BACKGROUND_CONTRAST * (255 - luma));
      for (let k = 0; k < 3; k++) {
        const base = diverging ? from[4 * i + k] + fade * (light - from[4 * i + k]) : from[4 * i + k];
        to[4 * i + k] = Math.round(base + alpha * ((known ? colours[step + k] : GREY[k]) - base));
      }
      to[4 * i + 3] = 255;
    }
    if (inside) outline(pixels, inside);
    const canvas = $("view");
    [canvas.width, canvas.height] = [photo.width, photo.height];
    canvas.style.setProperty("--ratio", photo.width / photo.height);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    canvas.setAttribute("aria-label", `${map.title}, map overlaid with opacity ${Math.round(100 * opacity)} %`);
  }

  /** A light contour with a dark edge around all positions that are inside. */
  function outline(pixels, inside) {
    const { width, height, data: to } = pixels, line = Math.max(1, Math.round(Math.min(width, height) / 200));
    for (const [colour, reach] of [[[29, 29, 34], 2 * line], [[255, 255, 255], line]]) {
      const grown = dilated(dilated(inside, width, height, reach, 1), width, height, reach, width);
      for (let i = 0; i < grown.length; i++) if (grown[i] && !inside[i]) to.set(colour, 4 * i);
    }
  }

  function dilated(mask, width, height, reach, stride) {
    const out = new Uint8Array(mask.length), length = stride === 1 ? width : height, lines = stride === 1 ? height : width;
    for (let line = 0; line < lines; line++) {
      const start = stride === 1 ? line * width : line;
      for (let i = 0, last = -Infinity; i < length + reach; i++) {
        if (i < length && mask[start + i * stride]) last = i;
        const centre = i - reach;
        if (centre >= 0 && last >= centre - reach) out[start + centre * stride] = 1;
      }
    }
    return out;
  }

  const short = (value) => Number(value.toPrecision(3)).toString();

  function describe() {
    const { map } = state, name = paletteOf(map), diverging = data.palettes[name].diverging;
    document.title = map.title;
    $("title").textContent = map.title;
    $("subtitle").textContent = map.subtitle;
    $("remark").textContent = map.remark;
    $("low").textContent = diverging ? short(-map.peak) : "0";
    $("middle").textContent = diverging ? "0" : "";
    $("high").textContent = short(map.peak);
    $("outside").hidden = !fields.get(map).some(Number.isNaN);
    const ramp = $("ramp"), context = ramp.getContext("2d");
    ramp.width = N_STEPS;
    const strip = context.createImageData(N_STEPS, 1), colours = table(name);
    for (let i = 0; i < N_STEPS; i++) strip.data.set([colours[3 * i], colours[3 * i + 1], colours[3 * i + 2], 255], 4 * i);
    context.putImageData(strip, 0, 0);
    const rows = map.predictions.map((p) => {
      const row = document.createElement("tr"), [label, track, number] = [0, 0, 0].map(() => row.insertCell());
      row.className = p.explained ? "explained" : "";
      label.textContent = p.name;
      number.textContent = p.text;
      if (p.probability !== null) {
        const bar = track.appendChild(document.createElement("span"));
        bar.style.width = `${100 * p.probability}%`;
      }
      return row;
    });
    $("predictions").hidden = !rows.length;
    $("predictions").querySelector("tbody").replaceChildren(...rows);
    $("classes").hidden = !map.classes;
    if (map.classes) {
      $("classes-image").src = map.classes;
      $("legend").replaceChildren(...map.legend.map(({ colour, name, fraction, meant }) => {
        const entry = element("li", ""), swatch = entry.appendChild(document.createElement("i"));
        swatch.style.background = colour;
        entry.append(element(meant ? "b" : "span", `${name} ${fraction}`));
        return entry;
      }));
    }
    $("facts").replaceChildren(...Object.entries(map.facts).flatMap(([key, value]) => [element("dt", key), element("dd", value)]));
  }

  function element(tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }

  function labels() {
    $("opacity-value").textContent = `${Math.round(100 * state.opacity)} %`;
    $("contour-value").textContent = state.contour ? `${Math.round(100 * state.contour)} %` : "none";
  }

  let waiting = false;
  function refresh() {
    labels();
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      paint();
      describe();
    });
  }

  const option = (value, text) => Object.assign(element("option", text), { value });

  /** One list for each of method, target, layer and input of which there are several. */
  function choices() {
    const axes = Object.keys(data.maps[0].axes).filter((axis) => new Set(data.maps.map((map) => map.axes[axis])).size > 1);
    const lists = axes.map((axis) => {
      const label = element("label", axis[0].toUpperCase() + axis.slice(1)), list = document.createElement("select");
      list.id = label.htmlFor = `axis-${axis}`;
      list.append(...[...new Set(data.maps.map((map) => map.axes[axis]))].map((value) => option(value, value)));
      list.addEventListener("change", () => {
        const same = (map) => axes.filter((other) => map.axes[other] === state.map.axes[other]).length;
        const possible = data.maps.filter((map) => map.axes[axis] === list.value);
        state.map = possible.reduce((best, map) => (same(map) > same(best) ? map : best));
        show();
        refresh();
      });
      $("choices").append(label, list);
      return [axis, list];
    });
    const show = () => lists.forEach(([axis, list]) => (list.value = state.map.axes[axis]));
    show();
  }

  function controls() {
    $("colormap").append(option("", "default of the map"), ...Object.keys(data.palettes).map((name) => option(name, name)));
    $("opacity").value = Math.round(100 * state.opacity);
    $("colormap").value = state.colormap || "";
    $("blend").value = state.blend;
    $("contour").value = Math.round(100 * (state.contour || 0));
    const on = (id, read) => $(id).addEventListener("input", (event) => (read(event.target.value), refresh()));
    on("opacity", (value) => (state.opacity = value / 100));
    on("colormap", (value) => (state.colormap = value));
    on("blend", (value) => (state.blend = value));
    on("contour", (value) => (state.contour = value / 100));
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    $("view").addEventListener("pointermove", (event) => {
      const canvas = $("view"), box = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
      const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
      const value = fields.get(state.map)[y * canvas.width + x];
      if (x >= 0 && x < canvas.width && value !== undefined)
        $("value").textContent = value === value ? `map value ${short(value)}` : "outside the network input";
    });
    $("view").addEventListener("pointerleave", () => ($("value").textContent = ""));
    $("save").addEventListener("click", () =>
      $("view").toBlob((file) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(file);
        link.download = `${data.name}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      }),
    );
  }

  function reproduce() {
    for (const [name, text] of data.reproduce) {
      const row = document.createElement("div"), copy = element("button", "Copy"), line = element("pre", text);
      row.className = "row";
      line.tabIndex = 0;
      copy.type = "button";
      copy.setAttribute("aria-label", `Copy: ${name}`);
      copy.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(text);
          $("status").textContent = `${name}: copied to the clipboard.`;
        } catch {
          getSelection().selectAllChildren(line);
          $("status").textContent = "The browser blocks the clipboard; the line is selected: copy it with the keyboard.";
        }
      });
      row.append(element("span", name), copy);
      $("reproduce").append(row, line);
    }
    $("reproduce").hidden = !data.reproduce.length;
  }

  const photos = await Promise.all(data.images.map(pixelsOf)), fields = new Map();
  for (const map of data.maps) fields.set(map, await decoded(map));
  choices();
  controls();
  reproduce();
  labels();
  paint();
  describe();
  document.documentElement.dataset.ready = "";
})();
