// Asks for the figures every two seconds and shows them; says so when they stop coming.
"use strict";

const EVERY = 2000;
const KEPT = 60;
const loads = [];

const put = (id, text) => { document.getElementById(id).textContent = text; };
const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;

function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]
    .map(([size, unit], i, all) => [Math.floor((i ? seconds % all[i - 1][0] : seconds) / size), unit])
    .filter(([number]) => number > 0)
    .slice(0, 2);
  return parts.map(([number, unit]) => `${number} ${unit}`).join(" ") || "0 s";
}

function draw() {
  const most = Math.max(1, ...loads);
  // One value is a line too.
  const shown = loads.length > 1 ? loads : [loads[0], loads[0]];
  const points = shown.map((load, i) => `${(60 * i) / (shown.length - 1)},${19 - (18 * load) / most}`);
  document.querySelector("#history polyline").setAttribute("points", points.join(" "));
}

function show(status) {
  loads.push(status.load);
  if (loads.length > KEPT) loads.shift();
  draw();
  put("user", status.user || "a tagged node");
  put("load", status.load.toFixed(2));
  put("processors", `on ${status.processors} processors`);
  put("memory", gigabytes(status.memory_used));
  put("memory-total", `of ${gigabytes(status.memory_total)}`);
  document.getElementById("memory-meter").value = status.memory_used / (status.memory_total || 1);
  put("up", duration(status.up_seconds));
  for (const name of ["job", "allocation", "datacenter"]) put(name, status[name] || "not known");
}

function say(live, text) {
  put("state", text);
  document.getElementById("state").dataset.live = live;
}

async function refresh() {
  try {
    const answer = await fetch("api/status", { cache: "no-store", signal: AbortSignal.timeout(EVERY) });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    say("yes", "live");
  } catch {
    say("no", "no connection");
  }
  setTimeout(refresh, EVERY);
}

refresh();
