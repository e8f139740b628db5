// Building blocks and pictures. All text from outside becomes text nodes, never markup.
"use strict";
const draw = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }
  function svg(tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }
  // New content where it differs; what has the focus keeps its place.
  function refill(node, ...children) {
    const fresh = el("div", {}, ...children);
    if (node.innerHTML === fresh.innerHTML) return;
    const usable = () => [...node.querySelectorAll("a, button, summary")];
    const place = usable().indexOf(document.activeElement);
    node.replaceChildren(...fresh.childNodes);
    if (place >= 0) usable()[place]?.focus({ preventScroll: true });
  }
  const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const seconds = (ms) => (ms / 1000).toFixed(1) + " s";
  const span = (ms) => (ms < 1000 ? ms + " ms" : seconds(ms));
  const micros = (us) => (us < 1000 ? us + " µs" : us < 1e6 ? (us / 1000).toFixed(1) + " ms" : seconds(us / 1000));

  // A code may be broken behind its signs.
  const breaks = (text) => (text || "").split(/(?<=[:_,;])/).flatMap((part) => [part, el("wbr")]);

  // -- times, each with its zone

  const zone = (at) => {
    const minutes = -at.getTimezoneOffset(), size = Math.abs(minutes), two = (n) => String(n).padStart(2, "0");
    return minutes === 0 ? "UTC" : "UTC" + (minutes < 0 ? "−" : "+") + two(Math.floor(size / 60)) + ":" + two(size % 60);
  };
  // Made once: each is asked for every row.
  const format = (parts) => new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...parts });
  const [seconds_, minutes_, day_] = [
    format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    format({ hour: "2-digit", minute: "2-digit" }),
    format({ weekday: "short", day: "numeric", month: "short", year: "numeric" }),
  ];
  const hms = (at) => seconds_.format(at);
  const hm = (ms) => minutes_.format(ms);
  const day = (ms) => day_.format(ms);
  const full = (ms) => day(ms) + ", " + hms(new Date(ms)) + " " + zone(new Date(ms));
  function clock(ms, whole) {
    const at = new Date(ms);
    return el("time", { datetime: at.toISOString(), title: full(ms) }, whole ? full(ms) : hms(at));
  }

  // A moment of an address, as milliseconds, a span ago or a date (in UTC), for a field that shows this browser's time.
  function local(text, end) {
    if (!text) return "";
    const [, count, unit] = /^(\d+)([smhd])$/.exec(text) || [];
    const ms = count ? Date.now() - count * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[unit]
      : /^\d+$/.test(text) ? Number(text)
      : /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) + (end ? 864e5 - 1e3 : 0)
      : Date.parse(/T.*([Zz]|[+-]\d\d:?\d\d)$/.test(text) ? text : text.replace(" ", "T") + "Z");
    return Number.isFinite(ms) ? new Date(ms - new Date(ms).getTimezoneOffset() * 6e4).toISOString().slice(0, 19) : "";
  }

  // -- pictures

  const OUTCOMES = { executed: "executed", would_execute: "would execute", blocked: "blocked", skipped: "skipped", failed: "failed", unresolved: "unresolved" };
  let drawn = 0;

  // A texture for each outcome, so that none hangs on its colour.
  function textures() {
    const defs = svg("defs", {});
    const name = (outcome) => "t" + drawn + "-" + outcome;
    drawn += 1;
    const kinds = { blocked: "M0 6L6 0", skipped: "M1 1h1v1h-1z M4 4h1v1h-1z", failed: "M0 6L6 0M0 0L6 6", would_execute: "M0 3H6", unresolved: "M3 0V6" };
    for (const [outcome, path] of Object.entries(kinds)) {
      const pattern = svg("pattern", { id: name(outcome), width: 6, height: 6, patternUnits: "userSpaceOnUse", class: "o-" + outcome });
      pattern.append(svg("rect", { width: 6, height: 6, class: "soft" }), svg("path", { d: path, class: "ink" }));
      defs.append(pattern);
    }
    return [defs, (outcome) => (outcome === "executed" ? null : "url(#" + name(outcome) + ")")];
  }
  function key(outcome, count) {
    const swatch = svg("svg", { viewBox: "0 0 12 12", class: "swatch", "aria-hidden": "true" });
    const [defs, fill] = textures();
    const box = svg("rect", { x: .5, y: .5, width: 11, height: 11, class: "bar o-" + outcome });
    if (fill(outcome)) box.setAttribute("fill", fill(outcome));
    swatch.append(defs, box);
    return el("span", { class: "key" }, swatch, count + " " + OUTCOMES[outcome]);
  }
  function ticks(drawing, from, to, width, y) {
    // Minutes apart four times differ without their seconds.
    const name = to - from < 6e5 ? (ms) => hms(new Date(ms)) : hm;
    for (let i = 0; i <= 3; i += 1) {
      drawing.append(svg("text", { x: (width * i) / 3, y, "text-anchor": i === 0 ? "start" : i === 3 ? "end" : "middle" }, name(from + ((to - from) * i) / 3)));
    }
  }
  function outcomes(trend, names, what) {
    const W = 320, H = 70;
    const totals = names.map((_, i) => trend.bars.reduce((sum, bar) => sum + bar[1][i], 0));
    const all = totals.reduce((a, b) => a + b, 0);
    const most = Math.max(1, ...trend.bars.map((bar) => bar[1].reduce((a, b) => a + b, 0)));
    const words = all === 0 ? "No result in the " + what + "." : names.map((name, i) => (totals[i] ? totals[i] + " " + OUTCOMES[name] : "")).filter(Boolean).join(", ");
    const drawing = svg("svg", { viewBox: "0 0 " + W + " " + (H + 16), role: "img", "aria-label": "Results in the " + what + ": " + words });
    const [defs, fill] = textures();
    drawing.append(defs, svg("line", { x1: 0, x2: W, y1: H + .5, y2: H + .5, class: "axis" }));
    const step = W / trend.count;
    for (const [place, counts] of trend.bars) {
      let y = H;
      counts.forEach((count, i) => {
        if (!count) return;
        const height = (count / most) * (H - 12);
        y -= height;
        const bar = svg("rect", { x: place * step + step * .1, y, width: step * .8, height, class: "bar o-" + names[i] });
        if (fill(names[i])) bar.setAttribute("fill", fill(names[i]));
        drawing.append(bar);
      });
    }
    if (all) drawing.append(svg("text", { x: 0, y: 9 }, "most: " + most + (trend.step === 60000 ? " a minute" : " in 15 min")));
    ticks(drawing, trend.from, trend.from + trend.step * trend.count, W, H + 13);
    return [drawing, el("p", { class: "keys quiet" }, ...(all ? names.map((name, i) => (totals[i] ? key(name, totals[i]) : null)) : [words]))];
  }
  function profit(trend) {
    const W = 320, H = 70;
    const values = trend.bars.map((bar) => [bar[0], Number(bar[2])]).filter(([, value]) => value);
    const gain = Math.max(0, ...values.map(([, value]) => value)), loss = Math.max(0, ...values.map(([, value]) => -value));
    const most = gain + loss || 1, mid = values.length ? 3 + (gain / most) * (H - 6) : H / 2;
    const words = values.length ? "Total " + trend.profit : "No profit or loss in the last day.";
    const drawing = svg("svg", { viewBox: "0 0 " + W + " " + (H + 16), role: "img", "aria-label": "Profit realised in the last day by quarter of an hour. " + words });
    drawing.append(svg("line", { x1: 0, x2: W, y1: mid, y2: mid, class: "axis" }));
    const step = W / trend.count;
    for (const [place, value] of values) {
      const height = Math.max(1, (Math.abs(value) / most) * (H - 6));
      drawing.append(svg("rect", { x: place * step, y: value > 0 ? mid - height : mid, width: Math.max(2, step * .8), height, class: "bar " + (value > 0 ? "o-executed" : "o-failed loss") }));
    }
    ticks(drawing, trend.from, trend.from + trend.step * trend.count, W, H + 13);
    return [drawing, el("p", { class: "quiet" }, values.length ? "Total " + trend.profit + ": gains above the line, losses below" : words)];
  }
  function reviewers(list) {
    if (!list.length) return [el("p", { class: "empty" }, "No wait is kept.")];
    const most = Math.max(10, ...list.map((one) => one.waits.longest || 0));
    return list.map((one) => {
      const { count, median, p99, longest } = one.waits;
      const by = one.by.map(([name, n]) => n + " by " + name).join(", ");
      const words = count ? "median " + span(median) + ", 99th " + span(p99) + ", longest " + span(longest) : "no permit seen";
      const drawing = svg("svg", { viewBox: "0 0 320 20", role: "img", "aria-label": one.label + ": " + words });
      const x = (ms) => 6 + (ms / most) * 308;
      drawing.append(svg("line", { x1: 6, x2: 314, y1: 10, y2: 10, class: "track" }));
      if (count) {
        drawing.append(svg("line", { x1: x(0), x2: x(longest), y1: 10, y2: 10, class: "reach" }),
          svg("circle", { cx: x(median), cy: 10, r: 5, class: "median" }),
          svg("path", { d: "M" + x(p99) + " 4l6 6l-6 6l-6 -6z", class: "p99" }));
      }
      return el("div", { class: "reviewer" },
        el("p", {}, el("b", {}, one.label), " ", el("span", { class: "quiet" }, words)), drawing,
        el("p", { class: "quiet" }, [by, one.late ? one.late + " never came" : "", one.denied ? one.denied + " said no" : ""].filter(Boolean).join(", ")));
    }).concat(el("p", { class: "quiet" }, "● median ◆ 99th of 100, up to " + span(most) + "; the newest 512"));
  }
  // How long each took, by when it was answered.
  function trips(name, list, line) {
    const W = 320, H = 46;
    const from = Math.min(...list.map((trip) => trip[0])), to = Math.max(from + 1000, ...list.map((trip) => trip[0]));
    const most = Math.max(1, ...list.map((trip) => trip[1]));
    const at = ([when, took]) => [4 + ((when - from) / (to - from)) * (W - 8), H - 4 - (took / most) * (H - 18)].map((n) => n.toFixed(1));
    const drawing = svg("svg", { viewBox: "0 0 " + W + " " + (H + 16), role: "img", "aria-label": name });
    drawing.append(svg("line", { x1: 0, x2: W, y1: H, y2: H, class: "axis" }), svg("text", { x: 0, y: 9 }, "most: " + micros(most)));
    if (line) drawing.append(svg("polyline", { points: list.map((trip) => at(trip).join(",")).join(" "), class: "line" }));
    else for (const trip of list) drawing.append(svg("path", { d: "M" + at(trip).join(" ") + "m0 -4l4 4l-4 4l-4 -4z", class: "p99" }));
    ticks(drawing, from, to, W, H + 13);
    return drawing;
  }
  function venue({ orders, newest, asked }, since) {
    const placed = orders.count ? "Orders of the last day: median " + micros(orders.median) + ", 99th " + micros(orders.p99) : "No order was answered in the last day.";
    const time = asked.length ? "Its time, asked by this process since " + hms(new Date(since)) + ": " + micros(asked[asked.length - 1][1]) + " there and back" : "This process has not asked for its time yet.";
    return [newest.length ? trips(placed, newest, false) : null, el("p", { class: "quiet" }, newest.length ? "◆ " : "", placed),
      asked.length > 1 ? trips(time, asked, true) : null, el("p", { class: "quiet" }, time)].filter(Boolean);
  }
  function histogram({ buckets }) {
    const most = Math.max(1, ...buckets.map((bucket) => bucket.granted + bucket.blocked));
    const all = buckets.reduce((sum, bucket) => sum + bucket.granted + bucket.blocked, 0);
    const blocked = buckets.reduce((sum, bucket) => sum + bucket.blocked, 0);
    const label = (ms) => (ms < 1000 ? ms + " ms" : ms / 1000 + " s");
    const name = (bucket, i) => (bucket.up_to === null ? "> " + label(buckets[i - 1].up_to) : "≤ " + label(bucket.up_to));
    const words = all === 0 ? "No wait is kept." : (all - blocked) + " granted, " + blocked + " blocked";
    const row = 18;
    const drawing = svg("svg", { viewBox: "0 0 300 " + buckets.length * row, role: "img", "aria-label": "Waits by length: " + words.replace(/\.$/, "") + ". " +
      buckets.map((b, i) => (b.granted + b.blocked ? name(b, i) + ": " + b.granted + " granted, " + b.blocked + " blocked" : "")).filter(Boolean).join("; ") });
    const [defs, fill] = textures();
    drawing.append(defs);
    buckets.forEach((bucket, i) => {
      const y = i * row;
      const width = (n) => (n / most) * 195;
      drawing.append(svg("text", { x: 58, y: y + 13, "text-anchor": "end" }, name(bucket, i)),
        svg("rect", { x: 66, y: y + 3, width: 195, height: row - 6, rx: 2, class: "track" }),
        svg("rect", { x: 66, y: y + 3, width: width(bucket.granted), height: row - 6, class: "bar o-executed" }),
        svg("rect", { x: 66 + width(bucket.granted), y: y + 3, width: width(bucket.blocked), height: row - 6, class: "bar o-blocked", fill: fill("blocked") }));
      const count = bucket.granted + bucket.blocked;
      if (count) drawing.append(svg("text", { x: 268, y: y + 13 }, String(count)));
    });
    return [drawing, el("p", { class: "keys quiet" }, ...(all === 0 ? [words] : [(all - blocked) + " granted", ", ", blocked + " blocked (hatched)"]))];
  }
  // One wait, from its beginning to the result: a row for each permit, one for the order.
  function timeline(plan) {
    const { wait, order, result } = plan;
    const waited = wait.end ? wait.end.waited : wait.until - wait.since;
    const placed = order && order.took !== null ? order.took / 1000 : 0;
    const whole = Math.max(1, waited + placed), narrow = innerWidth < 640;
    const W = narrow ? 330 : 640, left = narrow ? 76 : 110, right = narrow ? 214 : 516, row = 26;
    const x = (ms) => left + (Math.min(ms, whole) / whole) * (right - left);
    const lines = wait.permits.length + (placed ? 1 : 0);
    const said = [];
    const drawing = svg("svg", { viewBox: "0 0 " + W + " " + (lines * row + 34), role: "img" });
    wait.permits.forEach((permit, i) => {
      const y = i * row + 16, there = permit.after !== null;
      const end = there ? permit.after : waited;
      const words = there ? span(permit.after) + ", " + permit.by : wait.end ? "never came" : "awaited";
      said.push(permit.label + " " + words + (permit.yes === false ? ", said no" : ""));
      drawing.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: "strong" }, permit.label.length > 12 ? permit.label.slice(0, 11) + "…" : permit.label),
        svg("line", { x1: x(0), x2: x(end), y1: y, y2: y, class: there ? "reach" : "missing-line" }));
      if (there && permit.yes === false) drawing.append(svg("path", { d: "M" + (x(end) - 5) + " " + (y - 5) + "l10 10m0 -10l-10 10", class: "no" }));
      else if (there) drawing.append(svg("circle", { cx: x(end), cy: y, r: 5, class: "median" }));
      drawing.append(svg("text", { x: x(end) + 10, y: y + 4 }, words));
    });
    const bottom = lines * row + 8;
    if (placed) {
      const y = wait.permits.length * row + 16;
      said.push("order answered after " + micros(order.took));
      drawing.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: "strong" }, "Order"),
        svg("rect", { x: x(waited), y: y - 5, width: Math.max(3, x(waited + placed) - x(waited)), height: 10, class: "bar o-executed" }),
        svg("text", { x: Math.max(x(waited) + 3, x(waited + placed)) + 8, y: y + 4 }, micros(order.took)));
    }
    if (wait.end) drawing.prepend(svg("line", { x1: x(waited), x2: x(waited), y1: 4, y2: bottom, class: wait.end.granted ? "granted-line" : "blocked-line" }));
    drawing.append(svg("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }),
      svg("text", { x: left, y: bottom + 14 }, "0"),
      svg("text", { x: x(waited), y: bottom + 14, "text-anchor": "end" }, (wait.end ? (wait.end.granted ? "granted " : "blocked ") : "deadline ") + span(waited)));
    drawing.setAttribute("aria-label", "The wait: " + said.join("; ") + (result ? "; " + result.outcome : ""));
    return drawing;
  }
  return { el, svg, say, refill, breaks, seconds, span, micros, zone, clock, full, day, local, OUTCOMES, outcomes, profit, reviewers, venue, histogram, timeline };
})();
