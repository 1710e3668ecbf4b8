(() => {
  const data = JSON.parse(document.getElementById("images").textContent);
  const plot = document.getElementById("plot");
  const points = [...plot.querySelectorAll("[data-i]")];
  const positions = points.map(p => p.dataset.at.split(",").map(Number));
  const card = document.getElementById("card"), status = document.getElementById("status"), ring = document.getElementById("ring");
  let current = -1;

  function show(i) {
    if (i < 0) return;
    current = i;
    const [name, label, predicted, confidence, thumbnail] = data[i];
    card.querySelector("img").src = thumbnail ? "data:image/jpeg;base64," + thumbnail : "";
    card.querySelector("img").hidden = !thumbnail;
    card.querySelector("img").alt = name;
    card.querySelector("b").textContent = label || predicted;
    const prediction = (label && label !== predicted ? "predicted as " + predicted + ", " : "") + confidence;
    card.querySelector("span").textContent = prediction;
    card.querySelector("small").textContent = name;
    status.textContent = name + ": " + (label ? label + ", " : "") + prediction;
    ring.setAttribute("cx", positions[i][0]);
    ring.setAttribute("cy", positions[i][1]);
    ring.removeAttribute("visibility");
    card.hidden = false;
    const box = plot.getBoundingClientRect(), scale = box.width / plot.viewBox.baseVal.width;
    const x = positions[i][0] * scale, y = positions[i][1] * scale;
    card.style.left = Math.max(0, Math.min(box.width - card.offsetWidth, x + 14)) + "px";
    card.style.top = (y + 14 + card.offsetHeight > box.height ? Math.max(0, y - card.offsetHeight - 14) : y + 14) + "px";
  }

  function nearest(x, y, allowed) {
    let best = -1, smallest = Infinity;
    positions.forEach(([a, b], i) => {
      const d = (a - x) ** 2 + (b - y) ** 2;
      if (d < smallest && allowed(i, a - x, b - y)) { smallest = d; best = i; }
    });
    return best;
  }

  plot.addEventListener("pointermove", showNearest);
  plot.addEventListener("pointerdown", showNearest);
  function showNearest(e) {
    const box = plot.getBoundingClientRect(), scale = plot.viewBox.baseVal.width / box.width;
    show(nearest((e.clientX - box.left) * scale, (e.clientY - box.top) * scale, () => true));
  }

  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plot.addEventListener("keydown", e => {
    const direction = directions[e.key];
    if (!direction) return;
    e.preventDefault();
    if (current < 0) return show(0);
    const [x, y] = positions[current];
    show(nearest(x, y, (i, dx, dy) => {
      const along = dx * direction[0] + dy * direction[1];
      return i !== current && along > 0 && along >= Math.abs(dx * direction[1] + dy * direction[0]);
    }));
  });
  plot.addEventListener("focus", () => current < 0 && show(0));

  for (const choice of document.querySelectorAll("input[name=colour]"))
    choice.addEventListener("change", () => { plot.dataset.by = choice.value; });
  for (const row of document.querySelectorAll("button[data-point]"))
    row.addEventListener("click", () => {
      show(Number(row.dataset.point));
      plot.scrollIntoView({ block: "nearest" });
    });
})();
