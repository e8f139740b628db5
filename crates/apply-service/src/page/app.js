// Everything arrives over one stream: a snapshot first, then every change. All text from outside
// becomes text nodes, never markup.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  // The service says something at least every two seconds; after this much silence it is lost.
  const SILENCE = 2900;

  const model = { plans: new Map(), symbols: new Map(), keep: 100, instance: "" };
  const rows = new Map(); // plan id -> its <details>
  const cards = new Map(); // plan id -> its card while it waits
  let skew = 0; // the service's clock minus this browser's
  let heard = 0;
  let source = null;

  // -- building blocks

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
  const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const serverNow = () => Date.now() + skew;
  const seconds = (ms) => (ms / 1000).toFixed(1) + " s";
  const span = (ms) => (ms < 1000 ? ms + " ms" : seconds(ms));
  function clock(ms) {
    const at = new Date(ms);
    const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
    return el("time", { datetime: at.toISOString(), title: at.toLocaleString() }, time);
  }
  const planLink = (id) => el("a", { href: "#plan-" + id, class: "id" }, id);

  // -- what a plan has come to, in a word and a colour

  function verdict(plan) {
    const { order, result, wait } = plan;
    if (order && order.outcome === "unresolved") return ["bad", "unresolved", "look at the venue: " + order.note];
    if (result && result.unresolved) return ["bad", "unresolved", "look at the venue: " + result.details.join("; ")];
    if (result) {
      if (result.executed) return ["good", "executed", orderText(order) || result.details.join("; ")];
      if (result.would_execute) return ["info", "would execute", result.details.join("; ")];
      const why = result.error || plan.reasons.join(", ");
      if (result.decision === "SKIP") return ["off", "skipped", why];
      if (result.decision === "BLOCKED" || (wait && wait.end && !wait.end.granted)) return ["warn", "blocked", why];
      return ["bad", "not executed", why];
    }
    if (order) return ["info", order.outcome.replace("_", " "), order.note];
    if (wait && !wait.end) return ["info", "waiting", ""];
    if (wait && wait.end) return wait.end.granted ? ["info", "executing", wait.end.detail] : ["warn", "blocked", wait.end.code];
    const words = { EXECUTE: ["info", "planned"], SKIP: ["off", "skipped"], BLOCKED: ["warn", "blocked"], ERROR: ["bad", "error"] };
    return [...(words[plan.decision] || ["off", plan.decision]), plan.reasons.join(", ")];
  }
  function orderText(order) {
    if (!order || !order.side) return "";
    const amount = order.executed || order.quantity;
    return [order.side, amount, order.price ? "at " + order.price : ""].filter(Boolean).join(" ");
  }

  // -- the top

  function showVitals(vitals) {
    const words = { open: "Orders can flow", dry_run: "Dry run", halted: "Halted", stuck: "Orders cannot flow", unknown: "Asking" };
    const { state, why } = vitals.flow;
    $("flow").dataset.state = state;
    say($("flow-word"), words[state] || state);
    say($("flow-why"), state === "halted" ? "by " + why : state === "dry_run" ? "Plans are made, no order is placed." : why || "Granted plans go to the venue.");
    say($("mode"), vitals.mode.replace("_", " "));
    say($("version"), vitals.version);
    document.title = (words[state] || state) + " – apply-layer";
    const words2 = { good: "good", fair: "look at it", bad: "bad", off: "not in use" };
    $("lights").replaceChildren(...vitals.lights.map((light) =>
      el("li", { "data-state": light.state },
        el("span", { class: "lamp", "aria-hidden": "true" }),
        el("b", {}, light.name),
        el("span", { class: "unseen" }, words2[light.state] + ":"),
        el("span", { class: "quiet" }, light.text))));
  }

  // -- waits

  function showWait(plan) {
    const waiting = plan.wait && !plan.wait.end && !plan.result;
    let card = cards.get(plan.id);
    if (!waiting) {
      if (card) { card.remove(); cards.delete(plan.id); }
    } else {
      if (!card) {
        card = el("article", { class: "card", "data-plan": plan.id });
        cards.set(plan.id, card);
        $("waits").prepend(card);
      }
      const missing = plan.wait.permits.filter((permit) => permit.after === null).map((permit) => permit.label);
      card.replaceChildren(
        el("h3", {}, plan.symbol, " ", el("span", { class: "quiet" }, plan.step || plan.action), planLink(plan.id)),
        el("p", { class: "missing" }, missing.length ? "missing: " + missing.join(", ") : "all permits seen"),
        permitList(plan.wait),
        el("progress", { max: plan.wait.until - plan.wait.since, value: 0, "aria-label": "Time until the deadline" }),
        el("p", { class: "left quiet" }));
      tick();
    }
    say($("waiting-count"), String(cards.size));
    $("no-waits").hidden = cards.size > 0;
  }
  function permitList(wait) {
    return el("ul", { class: "permits" }, ...wait.permits.map((permit) => {
      const there = permit.after !== null;
      return el("li", { "data-there": String(there) },
        el("span", { class: "mark", "aria-hidden": "true" }, there ? "✓" : "…"),
        el("span", {}, permit.label),
        el("span", { class: "quiet" }, there ? span(permit.after) + " by " + permit.by : wait.end ? "never came" : "awaited"));
    }));
  }
  function tick() {
    for (const [id, card] of cards) {
      const { until, since } = model.plans.get(id).wait;
      const left = Math.max(0, until - serverNow());
      const bar = card.querySelector("progress");
      bar.value = until - since - left;
      say(card.querySelector(".left"), left > 0 ? seconds(left) + " left of " + seconds(until - since) : "last try");
    }
  }

  // -- plans

  function showPlan(plan, fresh) {
    let row = rows.get(plan.id);
    if (!row) {
      row = el("details", { id: "plan-" + plan.id, class: "plan" }, el("summary"), el("div", { class: "body" }));
      rows.set(plan.id, row);
      $("plans").prepend(row);
    }
    const [state, word, why] = verdict(plan);
    row.dataset.state = state;
    row.firstChild.replaceChildren(
      clock(plan.result ? plan.result.at : plan.at),
      el("b", {}, plan.symbol),
      el("span", { class: "step" }, plan.step || plan.action),
      el("span", { class: "badge", "data-state": state }, word),
      el("span", { class: "why" }, why));
    fillBody(row.lastChild, plan);
    if (fresh) row.classList.add("fresh");
    $("no-plans").hidden = true;
  }
  function fillBody(body, plan) {
    const facts = el("dl", {});
    const fact = (name, ...what) => facts.append(el("dt", {}, name), el("dd", {}, ...what));
    fact("Plan", planLink(plan.id), " ", plan.decision, plan.reasons.length ? " – " + plan.reasons.join(", ") : "");
    if (plan.note) fact("Note", plan.note);
    if (plan.action) fact("Proposed", plan.action);
    if (plan.wait) {
      const { end } = plan.wait;
      fact("Permits", permitList(plan.wait));
      facts.lastChild.id = "permits-" + plan.id;
      if (end) fact(end.granted ? "Granted" : "Blocked", "after " + span(end.waited) + ": " + end.detail, end.ttls.length ? " (" + end.ttls.join(", ") + ")" : "");
    }
    if (plan.order) fact("Order", orderLink(plan), " " + [orderText(plan.order), plan.order.note].filter(Boolean).join(", "));
    if (plan.result) {
      fact("Result", plan.result.executed ? "executed" : plan.result.error || plan.result.decision,
        plan.result.profit ? ", profit " + plan.result.profit : "");
      for (const detail of plan.result.details) fact("Step", detail);
    }
    body.replaceChildren(facts);
  }
  const orderLink = (plan) => el("a", { href: "#order-" + plan.id, class: "id" }, plan.order.id || plan.order.outcome.replace("_", " "));

  // -- orders

  function showOrders() {
    const placed = [...model.plans.values()].filter((plan) => plan.order).reverse().slice(0, 20);
    const tone = { accepted: "good", rejected: "bad", not_sent: "warn", unknown: "warn", not_executed: "warn", unresolved: "bad" };
    $("orders").replaceChildren(...placed.map((plan) => {
      const { order } = plan;
      return el("li", { id: "order-" + plan.id, tabindex: "-1" },
        el("span", { class: "badge", "data-state": tone[order.outcome] }, order.outcome.replace("_", " ")),
        el("span", {}, el("b", {}, plan.symbol), " ", orderText(order) || order.note),
        el("span", { class: "quiet" }, clock(order.at), order.id ? " order " + order.id : "", order.took === null ? "" : " in " + (order.took / 1000).toFixed(1) + " ms"),
        el("span", { class: "quiet" }, "plan ", planLink(plan.id), " ", plan.wait ? el("a", { href: "#permits-" + plan.id }, "its permits") : ""));
    }));
    $("no-orders").hidden = placed.length > 0;
  }

  // -- symbols

  function showSymbols() {
    $("symbols").replaceChildren(...[...model.symbols.values()].map((symbol) => {
      const plan = symbol.plan && model.plans.get(symbol.plan);
      const [state, word] = plan ? verdict(plan) : ["off", "no plan"];
      const proposal = symbol.proposal;
      return el("li", {},
        el("div", {}, el("b", {}, symbol.symbol), el("span", { class: "badge", "data-state": symbol.refused ? "bad" : state }, symbol.refused ? "refused" : word)),
        el("p", {}, symbol.refused || (proposal ? proposal.action : "no proposal yet")),
        el("p", { class: "quiet" }, proposal ? "kill score " + proposal.kill_score : "", symbol.at ? el("span", {}, " · ", clock(symbol.at)) : "", plan ? el("span", {}, " · ", planLink(plan.id)) : ""));
    }));
  }

  // -- the histogram

  function showWaits({ buckets }) {
    const most = Math.max(1, ...buckets.map((bucket) => bucket.granted + bucket.blocked));
    const all = buckets.reduce((sum, bucket) => sum + bucket.granted + bucket.blocked, 0);
    const blocked = buckets.reduce((sum, bucket) => sum + bucket.blocked, 0);
    const name = (bucket, i) => (bucket.up_to === null ? "> " + label(buckets[i - 1].up_to) : "≤ " + label(bucket.up_to));
    const label = (ms) => (ms < 1000 ? ms + " ms" : ms / 1000 + " s");
    const words = all === 0 ? "No wait since the service started." : (all - blocked) + " granted, " + blocked + " blocked";
    const row = 20;
    const drawing = svg("svg", { viewBox: "0 0 300 " + buckets.length * row, role: "img", "aria-label": "Waits by length: " + words + ". " +
      buckets.map((b, i) => (b.granted + b.blocked ? name(b, i) + ": " + b.granted + " granted, " + b.blocked + " blocked" : "")).filter(Boolean).join("; ") });
    buckets.forEach((bucket, i) => {
      const y = i * row;
      const width = (n) => (n / most) * 195;
      drawing.append(svg("text", { x: 58, y: y + 14, "text-anchor": "end" }, name(bucket, i)),
        svg("rect", { x: 66, y: y + 3, width: 195, height: row - 6, rx: 2, class: "track" }),
        svg("rect", { x: 66, y: y + 3, width: width(bucket.granted), height: row - 6, rx: 2, class: "granted" }),
        svg("rect", { x: 66 + width(bucket.granted), y: y + 3, width: width(bucket.blocked), height: row - 6, rx: 2, class: "blocked" }));
      const count = bucket.granted + bucket.blocked;
      if (count) drawing.append(svg("text", { x: 268, y: y + 14 }, String(count)));
    });
    const legend = all === 0 ? [words] : [el("span", { class: "key granted" }, (all - blocked) + " granted"), el("span", { class: "key blocked" }, blocked + " blocked")];
    $("histogram").replaceChildren(drawing, el("p", { class: "quiet" }, ...legend));
  }

  // -- the stream

  function forget() {
    while (model.plans.size > model.keep) {
      const oldest = model.plans.keys().next().value;
      model.plans.delete(oldest);
      for (const kept of [rows, cards]) { kept.get(oldest)?.remove(); kept.delete(oldest); }
    }
  }
  function onSnapshot({ value: all }) {
    const restarted = model.instance && model.instance !== all.vitals.instance;
    model.instance = all.vitals.instance;
    model.keep = all.keep;
    const open = new Set([...rows].filter(([, row]) => row.open).map(([id]) => id));
    for (const map of [model.plans, rows, cards]) map.clear();
    if (restarted) model.symbols.clear();
    $("plans").replaceChildren();
    $("waits").replaceChildren();
    $("no-plans").hidden = false;
    for (const plan of all.plans) model.plans.set(plan.id, plan);
    for (const plan of model.plans.values()) { showPlan(plan, false); showWait(plan); rows.get(plan.id).open = open.has(plan.id); }
    if (!model.plans.size) { say($("waiting-count"), "0"); $("no-waits").hidden = false; }
    showVitals(all.vitals);
    showSymbols();
    showOrders();
    showWaits(all.waits);
    if (restarted) say($("news"), "The service was restarted.");
    follow();
  }
  function onPlan(plan) {
    const before = model.plans.get(plan.id);
    model.plans.set(plan.id, plan);
    forget();
    showPlan(plan, !before);
    showWait(plan);
    showSymbols();
    if (plan.order) showOrders();
    if (plan.result && !(before && before.result)) {
      const [, word, why] = verdict(plan);
      say($("news"), plan.symbol + " " + word + (why ? ": " + why : ""));
    }
  }

  const handlers = {
    snapshot: onSnapshot,
    plan: ({ value }) => onPlan(value),
    symbols: ({ value }) => { for (const symbol of value) model.symbols.set(symbol.symbol, symbol); showSymbols(); },
    symbol: ({ value }) => { model.symbols.set(value.symbol, value); showSymbols(); },
    vitals: ({ value }) => showVitals(value),
    waits: ({ value }) => showWaits(value),
  };
  function connected(yes) {
    document.body.classList.toggle("lost", !yes);
    say($("link"), yes ? "live" : "connection lost");
    if (yes || $("flow").dataset.state === "unknown") return;
    // What was true when it was last heard of must not pass for what is true now.
    const last = $("flow-word").textContent + " " + ($("flow").dataset.state === "halted" ? $("flow-why").textContent : "");
    $("flow").dataset.state = "unknown";
    say($("flow-word"), "Connection lost");
    say($("flow-why"), "Last heard at " + new Date(heard).toLocaleTimeString([], { hour12: false }) + ": " + last.trim());
    document.title = "Connection lost – apply-layer";
  }
  function connect() {
    if (source) source.close();
    source = new EventSource("/events");
    heard = Date.now();
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        const data = JSON.parse(event.data);
        heard = Date.now();
        skew = data.now - heard;
        connected(true);
        handle(data);
      });
    }
    // The browser comes again by itself, but for an answer that is no stream.
    source.onerror = () => {
      connected(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
    };
  }

  // -- links into closed plans

  function follow() {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    const row = target.closest("details");
    if (row) row.open = true;
    target.scrollIntoView({ block: "nearest" });
    (target.querySelector("summary") || target).focus({ preventScroll: true });
  }
  addEventListener("hashchange", follow);

  setInterval(() => {
    if (cards.size && !document.hidden) tick();
    if (Date.now() - heard > SILENCE) { connected(false); connect(); }
  }, 100);
  connect();
})();
